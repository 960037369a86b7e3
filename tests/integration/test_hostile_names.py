"""Labels, columns and settings that mean something to a terminal, to rich, or to a spreadsheet: shown as they are."""

import json
from pathlib import Path

import pytest
from tiny import fit, write

from mtl_lightning.__main__ import main
from mtl_lightning.terminal import printable

LABELS = ["[/b]", "[other]", ":smile:", "\x1b]0;t\x07\x1b[31mred", "\u202egnp.exe", "a\rb", "x\x9b2Jy", "=1+1", "|`<b>"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    for split in ("train", "val"):
        rows = [json.loads(line) for line in (tmp_path / f"{split}.jsonl").read_text().splitlines()]
        lines = (json.dumps({**row, "x": LABELS[i % len(LABELS)]}) + "\n" for i, row in enumerate(rows))
        (tmp_path / f"{split}.jsonl").write_text("".join(lines))
    return tmp_path


def test_labels_reach_tables_and_json_as_they_are(folder, capsys):
    assert fit("run", "--trainer.max_epochs=1", "--evaluate=test") == 0
    assert main(["test", "--ckpt_path", "run", "--json", "scores.json"]) == 0
    shown = capsys.readouterr()
    assert shown.out == printable(shown.out)
    assert (bars := shown.err.replace("\r", "")) == printable(bars)
    for label in LABELS:
        assert shown.out.count(f"│ {printable(label)} ") == 2, label
    assert set(json.loads((folder / "scores.json").read_text())) == {"cls", "reg", "average"}
    assert main(["predict", "--ckpt_path", "run", "--input", "val.jsonl"]) == 0
    written = capsys.readouterr().out
    assert written == printable(written)
    assert [json.loads(line)["x"] for line in written.splitlines()] == [LABELS[i % len(LABELS)] for i in range(12)]


OPTIONS = [
    ["--ckpt_path", "no\x1b[31m"],
    ["--data.datasets.d.labels.cls", "q\x1b[31m"],
    ["--\x1b[31m", "3"],
    ["--model.encoder", "\u202ex"],
    ["--name", "\u202ex"],
    ["--name", "../x"],
    ["--wandb=offline", "--project", "a/b"],
    ["--wandb=offline", "--project", "a\x1b[31m"],
    ["--data.datasets", '{"e\\e[2J": {class_path: FileSource, init_args: {files: {}, inputs: {features: f}}}}'],
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ascii(options[0]))
def test_what_a_user_gives_is_named_in_one_printable_line(options, folder, capsys):
    assert fit("run", *options) == 2
    shown = capsys.readouterr().err
    assert shown == printable(shown)
    assert shown.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../b", "x" * 300, "a\0b", "."])
def test_a_comparison_stays_inside_runs(name, folder, capsys):
    assert main(["compare", "--config", "config.yaml", "--name", name, "--weightings", "equal", "--dry_run"]) == 2
    assert capsys.readouterr().err.startswith("error: name: ")
    assert not (folder / "runs").exists()


def test_a_variant_may_be_called_anything_that_can_be_seen(folder, capsys):
    given = ["compare", "--config", "config.yaml", "--single_task", "false", "--dry_run"]
    for name, said in ((" ", "blank"), ("a\x1b[31m", "no name should have"), ("x" * 300, "at most 128")):
        assert main([*given, "--variant", f"{name}={{trainer.max_epochs: 1}}"]) == 2
        assert said in capsys.readouterr().err
