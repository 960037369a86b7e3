"""What a run tells its comparison of experts and task embeddings."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from lightning.pytorch import Callback

from mtl_lightning.callbacks import ExpertWatch
from mtl_lightning.callbacks.expert_watch import Taken
from mtl_lightning.compare.running.records import RECORD, problem_of
from mtl_lightning.compare.running.run.sharing import gates, similarity
from mtl_lightning.sharing.observing import Observations
from mtl_lightning.stopping import Interrupted

RECORDER = "mtl_lightning.compare.running.run.recorder.RunRecorder"


def test_gates_are_those_of_the_last_epoch() -> None:
    watch = ExpertWatch()
    watch.newest = [
        Taken("level_0", {"s": "ab", "a_0": "a"}, {"a": {"s": 0.25, "a_0": 0.75}, "b": {"s": 1.0}}),
        Taken("level_1", {"s": "ab"}, {"a": {"s": 1.0}}),  # of one task there is nothing to compare
    ]
    assert gates([object(), watch]) == [
        ("level_0", "a", "s", 0.25),
        ("level_0", "a", "a_0", 0.75),
        ("level_0", "b", "s", 1.0),
    ]
    assert gates([object()]) == []


def test_similarity_is_the_cosine_of_two_embeddings() -> None:
    def module(embeddings: torch.Tensor | None) -> Any:
        sharing = SimpleNamespace(tasks=("a", "b", "c"), observe=lambda: Observations(embeddings=embeddings))
        return SimpleNamespace(sharing=sharing)

    found = similarity(module(torch.tensor([[1.0, 0.0], [2.0, 2.0], [-3.0, 0.0]])))
    assert [pair[:2] for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair[2] for pair in found] == pytest.approx([0.5**0.5, -1.0, -(0.5**0.5)])
    assert similarity(module(None)) == []


class Stop(Callback):
    """Stops a run behind a step, once it has a checkpoint."""

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == 6:
            trainer.save_checkpoint("stopped.ckpt")
            raise Interrupted(0, said=True)


def test_a_run_that_was_stopped_within_an_epoch_records_the_whole_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    flags = ["--model.sharing=PLE", "--evaluate=none", f"--trainer.callbacks+={RECORDER}"]
    stop = f"--trainer.callbacks+={__name__}.Stop"
    assert tiny.fit(tmp_path / "whole", *flags) == 0
    assert tiny.fit(tmp_path / "stopped", *flags, stop) == 0
    assert tiny.fit(tmp_path / "resumed", *flags, "--ckpt_path=stopped.ckpt") == 0
    records = [json.loads((tmp_path / name / RECORD).read_text()) for name in ("whole", "resumed")]
    assert records[0]["gates"]
    assert records[1]["gates"] == records[0]["gates"]


def test_a_run_with_experts_logs_and_records_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    run = tmp_path / "run"
    flags = ["--model.sharing=MMoE", "--model.sharing.num_experts=3", f"--trainer.callbacks+={RECORDER}"]
    assert tiny.fit(run, *flags) == 0
    record = json.loads((run / RECORD).read_text())
    assert not problem_of({"status": "failed", "message": "", "seconds": 1.0, **record, "scores": {}}).startswith("'g")
    assert [row[1:3] for row in record["gates"]] == [
        [task, f"shared_{number}"] for task in ("cls", "reg") for number in range(3)
    ]
    assert sum(row[3] for row in record["gates"]) == pytest.approx(2)
    assert record["similarity"] == []
    names = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    experts = {f"train/expert/{task}/shared_{number}" for task in ("cls", "reg") for number in range(3)}
    assert {*experts, "train/gate_entropy/cls", "train/gate_entropy/reg", "train/dead_experts"} <= set(names)
