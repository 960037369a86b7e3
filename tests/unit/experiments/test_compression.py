"""The compression experiment: its scores are those of the package, and a miniature goes through all of it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import miniatures
import pytest

from experiments.compression import __main__ as compression
from experiments.compression import measure, models
from experiments.compression.pruning import half_after_one_epoch
from experiments.compression.readers import reader
from experiments.compression.resident import main as resident
from experiments.compression.scores import score
from experiments.compression.table import table
from mtl_lightning.__main__ import main

ROOT = Path(__file__).parents[3]
BERT = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
CONFIG = {**BERT, "num_hidden_layers": 2, "max_position_embeddings": 64}
SMALL = (
    "--model.encoder.model=null",
    "--model.encoder.tokenizer=characters:printable",
    f"--model.encoder.config={json.dumps(CONFIG)}",
    "--model.encoder.max_length=60",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--wandb=off",
)


def test_scores_are_percentages_of_labels_and_of_whole_spans() -> None:
    labels = {"intent": ["a", "b"], "slots": [["B-x", "I-x", "O"], ["O", "B-y"]]}
    spans = [[{"label": "x", "start_word": 0, "end_word": 2}], [{"label": "x", "start_word": 1, "end_word": 2}]]
    found = [{"intent": {"label": "a"}, "slots": {"spans": each}} for each in spans]
    assert score(labels, found) == {"intent": 50.0, "slots": 50.0}


def test_what_is_pruned_is_pruned_once() -> None:
    assert [half_after_one_epoch(epoch) for epoch in range(3)] == [0.5, 0, 0]


def test_ratios_are_of_the_first_exported_model_in_the_same_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"torch": 0.3, "onnx": 0.1, "int8": 0.05}
    now = [0.0]

    def slow(name: str) -> Any:
        def read(inputs: Any) -> list[Any]:
            now[0] += seconds[name] * len(inputs["tokens"])
            return [{"intent": {"label": "a"}} for _ in inputs["tokens"]]

        return read

    monkeypatch.setattr(measure, "reader", lambda paths: slow(paths[0].name))
    monkeypatch.setattr(measure.time, "process_time", lambda: now[0])
    monkeypatch.setattr(measure, "_sizes", lambda paths: {"bytes": 1_000_000, "compressed": 500_000})
    monkeypatch.setattr(measure, "_resident", lambda *arguments: 2_000_000)
    ways = {name: [Path(name)] for name in seconds}
    found = measure.measured(ways, {"tokens": [["x"], ["y"]]}, {"intent": ["a", "b"]}, timed=2, rounds=3, kept=tmp_path)
    assert [row["ratio"] for row in found.values()] == [3.0, 1.0, 0.5]
    assert [row["milliseconds"] for row in found.values()] == [300.0, 100.0, 50.0]
    assert table(found, {"intent": "accuracy"}).splitlines()[-1] == "| int8 | 1.0 | 0.5 | 2 | 50.00 | 0.50 | 50.0 |"


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")  # characters are none
def test_a_miniature_is_trained_exported_measured_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    miniatures.snips(tmp_path / "data" / "snips")
    monkeypatch.setenv("MTL_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(ROOT)
    commands: list[Sequence[str]] = []

    def here(*arguments: str, fails: Sequence[int] = (0,)) -> None:
        commands.append(arguments)
        assert main(list(arguments)) in fails

    def measured_here(command: Sequence[str], **settings: Any) -> Any:
        monkeypatch.setattr(sys, "argv", list(command[2:]))
        resident()
        return subprocess.CompletedProcess(command, 0, capsys.readouterr().out.splitlines()[-1], "")

    monkeypatch.setattr(models, "_command", here)
    monkeypatch.setattr(measure.subprocess, "run", measured_here)
    few = {name: row for name, row in models.rows(["intent", "slots"]).items() if name in ("full, in torch", "pruned")}
    monkeypatch.setattr(compression, "rows", lambda tasks: few)
    options = ["--output", str(tmp_path / "out"), "--layers=1", "--limit=12", "--timed=2", "--rounds=1", *SMALL]
    compression.main(options)
    found = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert list(found) == list(few) and all(row["resident"] > 1e7 for row in found.values())
    assert found["pruned"]["compressed"] < 0.9 * found["pruned"]["bytes"]
    assert (tmp_path / "out" / "compression.png").read_bytes().startswith(b"\x89PNG")
    assert [command[0] for command in commands] == ["fit", "fit", "fit", "export"]
    compression.main(options)
    assert len(commands) == 4, "what is there is made again"
    with pytest.raises(SystemExit):
        compression.main([*options, "--layers=2"])
    assert "holds models of another `layers`" in capsys.readouterr().err


def test_a_way_of_several_folders_asks_each(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        def __init__(self, path: Path, threads: int) -> None:
            self.task = path.name

        def predict(self, inputs: Any) -> list[dict[str, Any]]:
            return [{self.task: value} for value in inputs["tokens"]]

    monkeypatch.setattr("experiments.compression.readers.ExportedModel", Fake)
    assert reader([Path("intent"), Path("slots")])({"tokens": [1]}) == [{"intent": 1, "slots": 1}]
