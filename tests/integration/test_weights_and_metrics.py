"""Weights and metrics that a config names, from training to a checkpoint that suffices alone."""

import json
from pathlib import Path

import pytest
import torch

from mtl_lightning.__main__ import main

CONFIG = """\
model:
  encoder: {class_path: PerceptronEncoder, init_args: {in_features: 2, hidden: [4]}}
  tasks:
    sick:
      class_path: SequenceClassification
      init_args: {pos_weight: balanced, positive: "no", main_metric: f1, metrics: [recall, mcc]}
    organ:
      class_path: SequenceClassification
      init_args: {class_weights: balanced, labels: [liver, heart, spleen], average: weighted, main_metric: f1}
    age: {class_path: Regression, init_args: {main_metric: mae, metrics: [r2]}}
data:
  datasets:
    d:
      class_path: FileSource
      init_args:
        files: {train: rows.jsonl, val: rows.jsonl, test: rows.jsonl}
        inputs: {features: f}
        labels: {sick: sick, organ: organ, age: age}
  batch_size: 4
trainer: {max_epochs: 1, accelerator: cpu, log_every_n_steps: 1, enable_progress_bar: false}
evaluate: test
wandb: "off"
"""


def train() -> str:
    """Trains in the working directory; returns the checkpoint."""
    rows = [
        {"f": [i % 3, i % 5], "sick": ["no", "no", "yes"][i % 3], "organ": ["liver", "heart"][i % 4 == 0], "age": i}
        for i in range(12)
    ]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("config.yaml").write_text(CONFIG)
    assert main(["fit", "--config", "config.yaml", "--trainer.default_root_dir", "run", "--json", "fit.json"]) == 0
    return "run/checkpoints/best.ckpt"


def test_weights_and_metrics(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = train()
    said = capsys.readouterr().out
    assert "Best checkpoint on the test split" in said and "sick: per label" in said
    for metric in ("f1 (of 'no') *", "recall (of 'no')", "f1 (weighted) *", "mcc", "mae *", "r2"):
        assert f" {metric} " in said
    unseen = "the training split has no example of the label 'spleen'; its weight is 1"
    assert [unseen in record.getMessage() for record in caplog.records].count(True) == 1
    saved = torch.load(checkpoint, weights_only=True)["mtl_lightning"]["tasks"]
    assert saved["sick"] == {"labels": ["no", "yes"], "pos_weight": 0.5}
    assert saved["organ"]["class_weights"] == {"liver": pytest.approx(12 / 18), "heart": 2.0, "spleen": 1.0}
    assert main(["test", "--ckpt_path", checkpoint, "--json", "test.json"]) == 0
    found, again = (json.loads(Path(name).read_text()) for name in ("fit.json", "test.json"))
    assert found == again and list(found["sick"]) == ["f1", "mcc", "recall", "loss"]
    main_scores = [found["sick"]["f1"], found["organ"]["f1"], -found["age"]["mae"]]
    assert found["average"] == pytest.approx(sum(main_scores) / 3)
    config = ["--config", "config.yaml", "--model.tasks.sick.pos_weight", "2"]
    assert main(["fit", *config, "--ckpt_path", checkpoint]) == 2
    assert "the checkpoint was trained with `pos_weight` 0.5, not 2.0" in capsys.readouterr().err
