"""What users' files hold as labels and targets, from the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import mtl_lightning
from mtl_lightning.__main__ import main

CONFIG: dict[str, Any] = {
    "name": "labels",
    "seed_everything": 0,
    "model": {
        "encoder": {"class_path": "PerceptronEncoder", "init_args": {"in_features": 1, "hidden": [4]}},
        "tasks": {"cls": "SequenceClassification"},
        "optimizer": {"class_path": "AdamW", "init_args": {"lr": 0.05}},
    },
    "data": {"datasets": {}, "batch_size": 8},
    "trainer": {
        "max_epochs": 2,
        "log_every_n_steps": 1,
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    | {"default_root_dir": "run"},
    "wandb": "off",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(labels: list[Any], name: str = "d", task: str = "SequenceClassification", **others: str) -> None:
    """A config, and a data set of these labels."""
    file = Path(f"{name}.jsonl")
    rows = [{"f": [i % 7 - 3.0], "label": label, "first": i} for i, label in enumerate(labels)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    CONFIG["data"]["datasets"] = {} if name == "d" else CONFIG["data"]["datasets"]
    CONFIG["model"]["tasks"] = {"cls": task, **others}
    files = {"files": {"train": file.name, "val": file.name}, "inputs": {"features": "f"}, "labels": {"cls": "label"}}
    CONFIG["data"]["datasets"][name] = {"class_path": "FileSource", "init_args": files}
    Path("config.yaml").write_text(yaml.safe_dump(CONFIG))


def fit(*flags: str) -> int:
    shutil.rmtree("run", ignore_errors=True)
    return main(["fit", "--config", "config.yaml", "--json=fit.json", *flags])


def labels() -> Any:
    return mtl_lightning.load("run/checkpoints/last.ckpt").tasks["cls"].labels


def test_class_numbers_of_two_files(caplog: pytest.LogCaptureFixture) -> None:
    write([str(i % 2) for i in range(16)])
    write([None if i == 3 else f"{i % 2}.0" for i in range(16)], "e")
    assert fit() == 0
    assert labels() == ["0", "1"]
    assert "task 'cls': '1' (8) and '1.0' (7) are read as one label, '1'" in caplog.messages


def test_words_for_a_missing_label(caplog: pytest.LogCaptureFixture) -> None:
    write(["pos", "neg", "nan", "NA", "None", "null"] * 4)
    assert fit() == 0
    (said,) = [line for line in caplog.messages if "may mean 'no label'" in line]
    setting = said.split("`missing: ")[1].split("`")[0]
    assert setting == "['NA', 'None', 'nan', 'null']"
    caplog.clear()
    assert fit("--model.tasks.cls.missing", setting) == 0
    assert labels() == ["neg", "pos"]
    assert not [line for line in caplog.messages if "label" in line]


@pytest.mark.parametrize("flag", ["[NA, -1]"])
def test_missing_on_the_command_line(flag: str) -> None:
    write(["1", "0", "NA", "1", "0"])
    assert fit("--model.tasks.cls.missing", flag) == 0
    assert labels() == ["0", "1"]


def test_a_wrong_setting_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    write(["1", "0", "NA"])
    assert fit("--model.tasks.cls.missing", "{a: 1}") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


def test_vectors(caplog: pytest.LogCaptureFixture) -> None:
    write([[int(i % 2 == 0), int(i % 3 == 0), 1 - i % 2] for i in range(16)], task="MultiLabelClassification")
    assert fit() == 0
    assert labels() == ["label_0", "label_1", "label_2"]
    assert any("vectors of 3 numbers 0 and 1" in line for line in caplog.messages)
    assert fit("--model.tasks.cls.labels", "[even, third, half]") == 0
    assert labels() == ["even", "third", "half"]


def test_a_column_of_numbers_is_no_label(capsys: pytest.CaptureFixture[str]) -> None:
    write([i / 7 for i in range(40)])
    assert fit() == 2
    assert "model.tasks.cls: the training split has 40 labels in 40 places" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_targets_far_from_0(precision: str) -> None:
    found, predicted = [], []
    for offset, scale in ((0.0, 1.0), (1.7e9, 60.0)):
        write([offset + scale * (i % 7 - 3) for i in range(28)], task="Regression")
        assert fit("--trainer.max_epochs=8", f"--trainer.precision={precision}") == 0
        scores = json.loads(Path("fit.json").read_text())["cls"]
        found.append([scores["pearson"], scores["loss"], scores["mae"] / scale, scores["rmse"] / scale])
        assert main(["predict", "--ckpt_path", "run", "--input", "d.jsonl", "--output", "out.jsonl"]) == 0
        rows = [json.loads(line)["predictions"]["cls"]["value"] for line in Path("out.jsonl").read_text().splitlines()]
        predicted.append([(row - offset) / scale for row in rows])
    assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert predicted[1] == pytest.approx(predicted[0], abs=1e-5)
    assert found[0][0] > 0.9


def test_best_follows_the_task_whose_metric_is_defined(caplog: pytest.LogCaptureFixture) -> None:
    write(["p", "q"] * 14, reg="Regression")
    rows = [json.loads(line) for line in Path("d.jsonl").read_text().splitlines()]
    rows = [{**row, "f": [1.0 if row["label"] == "p" else -1.0], "first": 3.0} for row in rows]
    Path("same.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = "{train: d.jsonl, val: same.jsonl}"
    assert fit("--data.datasets.d.files", files, "--data.datasets.d.labels", "{cls: label, reg: first}") == 0
    scores = json.loads(Path("fit.json").read_text())
    assert scores["reg"]["pearson"] is None
    assert scores["average"] == scores["cls"]["accuracy"]
    said = [line for line in caplog.messages if "is not defined there" in line]
    assert said == [
        "task 'reg': all targets of split 'val' are equal, so pearson is not defined there; it is NaN and counts for "
        "no average"
    ]
