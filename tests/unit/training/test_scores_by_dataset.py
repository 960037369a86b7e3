"""Scores of a task by data set, where several label it: beside those of all, which stay what they are."""

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import yaml

from mtl_lightning.tasks import Regression, SequenceClassification, Task
from mtl_lightning.training.evaluation import Evaluation, Results


def evaluated(batches: dict[str, tuple[list[int], list[int]]]) -> Results:
    """Predictions and labels of a task with two labels, by data set."""
    tasks: dict[str, Task] = {"topic": SequenceClassification(["a", "b"]), "other": Regression(mean=0.0, std=1.0)}
    evaluation = Evaluation(tasks, (), {"topic": ["mail", "news", "empty"]})
    for dataset, (predicted, labels) in batches.items():
        logits = {"topic": torch.nn.functional.one_hot(torch.tensor(predicted), 2).float()}
        evaluation.update(dataset, tasks, logits, {"topic": torch.tensor(labels)}, {"topic": len(labels)})
    return evaluation.compute(tasks)


def test_each_data_set_has_scores_of_its_own() -> None:
    results = evaluated({"mail": ([0, 1, 1, 0], [0, 1, 1, 1]), "news": ([0, 1], [1, 0])})
    assert {name: found["accuracy"] for name, found in results.by_dataset["topic"].items()} == {"mail": 0.75, "news": 0}
    assert results.metrics["topic"]["accuracy"] == results.average == 0.5, "which is of all examples"
    both = results.by_dataset["topic"]
    assert (4 * both["mail"]["loss"] + 2 * both["news"]["loss"]) / 6 == pytest.approx(results.metrics["topic"]["loss"])
    assert results.to_json()["by_dataset"]["topic"]["news"]["accuracy"] == 0


def test_a_score_that_a_data_set_leaves_undefined_is_nan_there_alone() -> None:
    results = evaluated({"mail": ([0, 1], [0, 1]), "news": ([1, 1], [1, 1])})
    assert math.isfinite(results.metrics["topic"]["f1"])
    tasks: dict[str, Task] = {"score": Regression(mean=0.0, std=1.0)}
    evaluation = Evaluation(tasks, (), {"score": ["varied", "constant"]})
    for dataset, targets in (("varied", [0.0, 1.0, 2.0]), ("constant", [1.0, 1.0, 1.0])):
        logits = {"score": torch.tensor([[0.1], [0.9], [2.2]])}
        evaluation.update(dataset, tasks, logits, {"score": torch.tensor(targets)}, {"score": 3})
    found = evaluation.compute(tasks)
    assert math.isnan(found.by_dataset["score"]["constant"]["pearson"])
    assert found.by_dataset["score"]["varied"]["pearson"] > 0.9 and math.isfinite(found.metrics["score"]["pearson"])


def test_one_data_set_in_a_split_has_no_scores_beside_those_of_all() -> None:
    results = evaluated({"mail": ([0, 1], [0, 1])})
    assert not results.by_dataset and "by_dataset" not in results.to_json()


def test_a_run_logs_prints_and_monitors_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    config = deepcopy(tiny.CONFIG)
    datasets = config["data"]["datasets"]
    datasets["e"] = deepcopy(datasets["d"])
    datasets["e"]["init_args"]["labels"] = {"cls": "x"}
    Path("config.yaml").write_text(yaml.safe_dump(config))
    assert (
        tiny.fit("run", "--checkpoint.monitor=val/cls/accuracy/e", "--trainer.max_epochs=1", "--json=found.json") == 0
    )
    assert {"val/cls/accuracy", "val/cls/accuracy/d", "val/cls/loss/e"} <= tiny.logged("run")
    assert not {"val/reg/pearson/d", "val/average/d"} & tiny.logged("run")
    assert set(json.loads(Path("found.json").read_text())["by_dataset"]["cls"]) == {"d", "e"}
    assert "accuracy on e" in capsys.readouterr().out
