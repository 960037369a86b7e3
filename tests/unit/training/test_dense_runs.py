"""Images and labels of their pixels as tables hold them: what is trained on, and what is said of bad rows."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import main

PIXELS = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)).tolist()
GOOD = [{"image": image, "class": [[0, 1, 1, -1]] * 4, "depth": [[1, 2, 0, 3]] * 4} for image in PIXELS]


def config(folder: Path, rows: list[dict[str, Any]], **source: Any) -> dict[str, Any]:
    for split, content in (("train", rows), ("val", GOOD[:2])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    arguments = {
        "root": str(folder),
        "files": {"train": "train.jsonl", "val": "val.jsonl"},
        "inputs": {"image": "image"},
        "labels": {"class": "class", "depth": "depth"},
        **source,
    }
    tasks = {"class": {"class_path": "SemanticSegmentation", "init_args": {"classes": 2}}, "depth": "DepthEstimation"}
    return {
        "model": {"encoder": {"class_path": "UNetEncoder", "init_args": {"channels": [2, 3]}}, "tasks": tasks},
        "data": {"datasets": {"d": {"class_path": "FileSource", "init_args": arguments}}, "batch_size": 2},
        "trainer": {"max_epochs": 1, "default_root_dir": str(folder / "run"), "accelerator": "cpu"},
        "wandb": "off",
    }


def fit(folder: Path, rows: list[dict[str, Any]], **source: Any) -> int:
    path = folder / "config.yaml"
    path.write_text(json.dumps(config(folder, rows, **source)))
    return main(["fit", "--config", str(path), "--json", str(folder / "metrics.json")])


def test_lists_of_lists_and_missing_labels_train(tmp_path: Path) -> None:
    assert fit(tmp_path, [*GOOD[:3], {**GOOD[3], "class": None}, {**GOOD[4], "depth": None}]) == 0
    (log,) = tmp_path.rglob("metrics.csv")
    assert "val/class/miou" in log.read_text() and "val/depth/abs_err" in log.read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"class": [[0, 1, 1]] * 4},
            "column 'class' (task 'class'): the label is 4 x 3 pixels, the image 4 x 4 (height x width)",
        ),
        ({"class": [[0, 1, 1, 9]] * 4}, "class 9 in row 1, column 4 of the image is out of range; classes are 0 to 1"),
        ({"depth": [[1, -1, 1, 1]] * 4}, "depth -1 in row 1, column 2 of the image is negative"),
    ],
)
def test_a_bad_label_is_one_line_with_its_row(
    change: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(tmp_path, [*GOOD[:3], {**GOOD[3], **change}, *GOOD[4:]]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "line 4" in error and said in error


def test_bad_rows_may_be_skipped(tmp_path: Path) -> None:
    assert (
        fit(
            tmp_path,
            [*GOOD[:3], {**GOOD[3], "depth": [[-1] * 4] * 4}, {**GOOD[4], "depth": [[1, 2]]}],
            on_bad_row="skip",
        )
        == 0
    )
    (skipped,) = tmp_path.rglob("skipped_rows/d-train.jsonl")
    assert "the label is 1 x 2 pixels" in skipped.read_text() and "is negative" in skipped.read_text()


def test_a_sharing_of_pooled_features_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    found = config(tmp_path, GOOD)
    found["model"]["sharing"] = "MMoE"
    path.write_text(json.dumps(found))
    assert main(["fit", "--config", str(path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "task 'class' reads feature maps, but MMoE, as it is set, changes pooled features alone" in error
