"""What people's files and configs look like, from the command line to predictions."""

import json
from pathlib import Path

import pytest

from mtl_lightning.__main__ import main
from tests import tiny

FILES = "--data.datasets.d.files"


def files(name: str) -> list[str]:
    """The flag that takes all splits from one file."""
    return [FILES, f"{{train: {name}, val: {name}, test: {name}}}"]


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", f"{tmp_path}/data")
    tiny.write(tmp_path)
    return [json.loads(line) for line in Path("train.jsonl").read_text().splitlines()]


def test_paths_with_home_and_variables(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Path("train.jsonl").rename("data/train.jsonl")
    Path("val.jsonl").rename("data/val.jsonl")
    assert tiny.fit("~/run", "--data.datasets.d.root=~/data", "--json=$HOME/scores.json") == 0
    assert Path("scores.json").is_file() and Path("run/checkpoints/best.ckpt").is_file()
    assert tiny.fit("b", FILES, '{train: "${DATA}/train.jsonl", val: "$DATA/val.jsonl", test: null}') == 0
    assert (
        main(["predict", "--ckpt_path=~/run", "--input", "$DATA/val.jsonl", "--output", "~/out/predicted.jsonl"]) == 0
    )
    assert len(Path("out/predicted.jsonl").read_text().splitlines()) == 12


def test_a_column_a_feature(rows: list[dict], capsys: pytest.CaptureFixture[str]) -> None:
    lines = [";".join(map(str, [*row["f"], row["x"], row["y"]])) for row in rows]
    Path("wide.csv").write_text("a;b;c;x;y\n" + "".join(f"{line}\n" for line in lines), "utf-16")
    options = [*files("wide.csv"), "--data.datasets.d.delimiter", ";"]
    assert tiny.fit("run", *options, "--data.datasets.d.inputs", "{features: [a, b, c]}") == 0
    capsys.readouterr()
    Path("new.csv").write_text("c;b;a\n1;2;3\n1;;3\n")
    assert main(["predict", "--ckpt_path", "run", "--input", "new.csv", "--output", "out.jsonl"]) == 0
    good, bad = map(json.loads, Path("out.jsonl").read_text().splitlines())
    assert set(good["predictions"]) == {"cls", "reg"}
    assert bad["predictions"] is None and bad["reason"].startswith("column 'b': input 'features' must be numbers")
    assert tiny.fit("other", *options, "--data.datasets.d.inputs", "{features: [a, b]}") == 2
    assert (
        "error: config.yaml, line 6: model.encoder.in_features: data set 'd', wide.csv, line 2, columns 'a', 'b': "
        "`in_features` is 3, but input 'features' has 2 numbers in its 2 columns"
    ) in capsys.readouterr().err


def test_records_under_a_key_with_labels_in_objects(rows: list[dict], capsys: pytest.CaptureFixture[str]) -> None:
    records = [{"f": row["f"], "ann": {"x": row["x"], "y": row["y"]}} for row in rows]
    Path("a.json").write_text(json.dumps({"version": 1, "data": records}, indent=1))
    assert tiny.fit("a", *files("a.json")) == 2
    assert "a.json is one object, with version, data; if its records stand under a key, name it: `field: data`" in (
        capsys.readouterr().err
    )
    options = [*files("a.json"), "--data.datasets.d.field", "data"]
    assert tiny.fit("a", *options) == 2
    assert "data.datasets.d.labels.cls: the data has no column 'x'; did you mean 'ann.x'?" in capsys.readouterr().err
    assert tiny.fit("a", *options, "--data.datasets.d.labels", "{cls: ann.x, reg: ann.y}") == 0


def test_labels_that_yaml_takes_for_booleans(rows: list[dict]) -> None:
    for number, row in enumerate(rows):
        row["x"] = ["no", "yes"][number % 2]
    Path("words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = Path("config.yaml").read_text()
    task = "cls: {class_path: SequenceClassification, init_args: {labels: [no, yes]}}"
    Path("config.yaml").write_text(text.replace("cls: SequenceClassification", task))
    assert tiny.fit("run", *files("words.jsonl"), "--model.lr_scheduler=None") == 0
    assert "- 'no'\n" in Path("run/config.yaml").read_text()


def test_folds(rows: list[dict]) -> None:
    Path("all.jsonl").write_text("".join(json.dumps({**row, "who": i // 2}) + "\n" for i, row in enumerate(rows)))
    split = "{class_path: FoldSplit, init_args: {num_folds: 3, test: 2, group: who}}"
    options = [FILES, "all.jsonl", "--data.datasets.d.split", split]
    assert tiny.fit("run", *options, "--evaluate", "test", "--json", "scores.json") == 0
    assert set(json.loads(Path("scores.json").read_text())) >= {"cls", "reg"}
