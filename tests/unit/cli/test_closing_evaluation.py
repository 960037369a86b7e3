"""The evaluation at the end of a run stands apart from the curve of the validations."""

import csv

import pytest
import tiny

from mtl_lightning.__main__ import main


@pytest.mark.parametrize(("evaluate", "columns"), [("val", 0), ("test", 1)])
def test_the_curve_has_one_point_for_each_validation(evaluate, columns, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    assert tiny.fit("run", f"--evaluate={evaluate}", "--json=scores.json") == 0
    with open("run/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["val/average"]]) == 2
    assert len([row for row in rows if row.get("test/average")]) == columns
    assert (tmp_path / "scores.json").exists()


@pytest.mark.parametrize("path", ["folder", "config.yaml/scores.json"])
def test_a_file_of_scores_that_cannot_be_written_is_refused_before_training(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    (tmp_path / "folder").mkdir()
    assert tiny.fit("run", f"--json={path}") == 2
    assert f"--json: cannot write {path}" in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(("test", "said"), [("null", "has no split 'test'"), ("odd.jsonl", "label 'new' is not among")])
def test_a_split_that_cannot_be_tested_on_is_refused_before_training(test, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    (tmp_path / "odd.jsonl").write_text((tmp_path / "val.jsonl").read_text().replace('"x": "p"', '"x": "new"'))
    files = f"{{train: train.jsonl, val: val.jsonl, test: {test}}}"
    assert tiny.fit("run", "--evaluate=test", f"--data.datasets.d.files={files}") == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("run/checkpoints/*.ckpt"))


def test_compare_refuses_a_file_as_its_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    options = ["--config=config.yaml", "--weightings=equal,upgrad", "--seeds=1", "--output=config.yaml/x"]
    assert main(["compare", *options]) == 2
    assert "output: config.yaml/x cannot be a folder: config.yaml is a file" in capsys.readouterr().err
