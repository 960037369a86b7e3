"""Predictions that are images: PNG files beside the lines."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_lightning.cli.trainer import Trainer
from mtl_lightning.data import FileSource, MultiTaskDataModule
from mtl_lightning.encoders import UNetEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.png import distinct_colours, png
from mtl_lightning.tasks import DenseBinary, DepthEstimation, Regression, SemanticSegmentation, SurfaceNormals, Task
from mtl_lightning.training.module import MultiTaskModule

QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


def predict(tasks: dict[str, Task], folder: Path, images: str | None) -> list[dict[str, Any]]:
    for number in range(3):
        np.save(folder / f"{number}.npy", np.random.default_rng(number).random((2, 3, 1)))
    rows = [{"image": str(folder / f"{number}.npy")} for number in (0, 7, 1)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    torch.manual_seed(0)
    model = MultiTaskModule(UNetEncoder(1, [2, 3]), tasks)
    source = FileSource({"train": "none.jsonl"}, {"image": "image"}, {name: name for name in tasks})
    given = {"input": str(folder / "in.jsonl"), "output": str(folder / "out.jsonl"), "images": images}
    Trainer(accelerator="cpu", **QUIET).predict(model, MultiTaskDataModule({"mine": source}), **given)
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def test_images_hold_what_the_lines_would(tmp_path: Path) -> None:
    def tasks() -> dict[str, Task]:
        dense: dict[str, Task] = {
            "classes": SemanticSegmentation(4),
            "edges": DenseBinary(),
            "normals": SurfaceNormals(),
        }
        return {**dense, "depth": DepthEstimation(2.0), "size": Regression(0.0, 1.0)}

    numbers = predict(tasks(), tmp_path, None)
    lines = predict(tasks(), tmp_path, str(tmp_path / "seen"))
    assert lines[1]["predictions"] is None and "7.npy is not there" in lines[1]["reason"]
    for row in (0, 2):
        said, wanted = lines[row]["predictions"], numbers[row]["predictions"]
        paths = {name: next(iter(each.values())) for name, each in said.items() if name != "size"}
        assert paths == {name: str(tmp_path / "seen" / name / f"00000{row + 1}.png") for name in paths}
        seen = {name: np.asarray(Image.open(path)) for name, path in paths.items()}
        assert said["size"] == wanted["size"]
        np.testing.assert_array_equal(seen["classes"], wanted["classes"]["classes"])
        np.testing.assert_allclose(seen["depth"] / 1000, wanted["depth"]["depth"], atol=0.0006)
        np.testing.assert_allclose(seen["normals"] / 127.5 - 1, wanted["normals"]["normals"], atol=0.005)
        np.testing.assert_allclose(seen["edges"] / 255, wanted["edges"]["probabilities"], atol=0.003)


def test_a_model_that_predicts_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--images: none of the tasks size predicts images"):
        predict({"size": Regression(0.0, 1.0)}, tmp_path, str(tmp_path / "seen"))
    assert not (tmp_path / "seen").exists()


def test_png_of_numbers_in_colours_and_in_16_bits() -> None:
    numbers = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = Image.open(io.BytesIO(png(numbers, distinct_colours())))
    np.testing.assert_array_equal(np.asarray(image), numbers)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), distinct_colours()[numbers])
    wide = np.array([[0, 300, 65535]], np.uint16)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(wide)))), wide)
    assert len(np.unique(distinct_colours(), axis=0)) == 256
