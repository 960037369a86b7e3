"""``export --format onnx`` and ``predict --model`` on a run: the lines of the checkpoint."""

import json
from pathlib import Path

import pytest
import tiny
import yaml

from mtl_lightning.__main__ import main
from mtl_lightning.errors import UserError
from mtl_lightning.export.validation import Validation
from mtl_lightning.serve.models import opened
from mtl_lightning.serve.options import Options
from mtl_lightning.serve.outcomes import outcomes
from mtl_lightning.training.from_checkpoint import data_of
from mtl_lightning.training.loading import load


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["predict", *arguments, "--input", "in.csv"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def spread_and_moved(checkpoint: str) -> None:
    """Examples are those of both ends where two are asked for; data that is gone is said in a line."""
    data, model = data_of(Path(checkpoint), tasks=["reg", "cls"]), load(Path(checkpoint))
    ((_, part),) = Validation(model, data, 2).batches(["d"])
    rows = Path("val.csv").read_text().splitlines()[1:]
    wanted = [list(map(float, row.split(";")[0].split())) for row in (rows[0], rows[-1])]
    assert part.inputs["features"].tolist() == [pytest.approx(each) for each in wanted]
    assert set(part.targets) == {"cls", "reg"}
    Path("val.csv").rename("moved.csv")
    with pytest.raises(UserError, match=r"val\.csv"):
        Validation(model, data_of(Path(checkpoint)), 2)


def test_both_predict_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    for split in ("train", "val"):  # in the format that files to predict on have
        rows = [json.loads(line) for line in Path(f"{split}.jsonl").read_text().splitlines()]
        table = "".join(f"{' '.join(map(str, row['f']))};{row['x']};{row['y']}\n" for row in rows)
        Path(f"{split}.csv").write_text(f"f;x;y\n{table}")
    files = {"train": "train.csv", "val": "val.csv", "test": "val.csv"}
    config = yaml.safe_load(Path("config.yaml").read_text())
    config["data"]["datasets"]["d"]["init_args"] |= {"files": files, "delimiter": ";"}
    Path("config.yaml").write_text(yaml.safe_dump(config))
    assert tiny.fit("run", "--evaluate=none") == 0
    checkpoint = str(Path("run", "checkpoints", "last.ckpt"))
    assert main(["export", "--ckpt_path", checkpoint, "--format", "onnx", "--output", "out"]) == 0
    printed = capsys.readouterr().out
    assert "features.onnx" in printed and "cls" in printed and "reg" in printed
    (check,) = json.loads(Path("out", "check.json").read_text())
    assert 0 <= check["difference"]["cls"] < 1e-5
    assert main(["validate", "--ckpt_path", checkpoint, "--json", "val.json"]) == 0
    wanted = json.loads(Path("val.json").read_text())
    for task, metric in (("cls", "accuracy"), ("reg", "pearson")):
        judged = check["metrics"][task]
        assert judged["metric"] == metric and judged["checkpoint"] == pytest.approx(wanted[task][metric], abs=1e-6)
        assert judged["exported"] == pytest.approx(judged["checkpoint"], abs=1e-5) and judged["lost"] < 0.01
    spread_and_moved(checkpoint)
    Path("in.csv").write_text("f;note\n1 2 3;a\n1 2;b\n4 5 6;\n")
    found, wanted = lines(capsys, "--model", "out"), lines(capsys, "--ckpt_path", checkpoint)
    assert [(row["f"], row["note"]) for row in found] == [(row["f"], row["note"]) for row in wanted]
    assert found[1]["reason"] == wanted[1]["reason"] and found[1]["predictions"] is None
    assert found[2]["predictions"]["reg"]["value"] == pytest.approx(wanted[2]["predictions"]["reg"]["value"], abs=1e-5)  # type: ignore[index]
    (first, told), (second, as_told) = (opened(Options(path), "cpu") for path in ("out", "run"))
    assert told == as_told and told.as_json()["tasks"]["cls"]["inputs"] == [["features"]]
    served = [outcomes(each, {"features": [[1, 2, 3], "odd"]}, ["cls"]) for each in (first, second)]
    assert [outcome.status for outcome in served[0]] == [outcome.status for outcome in served[1]] == [200, 422]
    assert main(["predict", "--model", "out", "--input", "in.csv", "--batch_size", "0"]) == 2
    assert "--batch_size must be at least 1, found 0" in capsys.readouterr().err
    assert main(["predict", "--model", "out", "--help"]) == 0
    assert "--threads N" in capsys.readouterr().out
    assert main(["predict", "--model", "run", "--input", "in.csv"]) == 2
    assert "is no exported model" in capsys.readouterr().err
