"""Images and labels of their pixels as tables hold them: what is trained on, and what is said of bad rows."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import wandb_log
from PIL import Image
from tiny import main

from mtl_lightning.callbacks import PixelGrids
from mtl_lightning.data import FileSource, NpyFolderSource
from mtl_lightning.data.collation import StepDataset
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.sampler import Rows
from mtl_lightning.encoders import ImageProcessor, Images, UNetEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import DepthEstimation, Regression, SemanticSegmentation, SurfaceNormals

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


FILES = {
    "inputs": {"image": "image"},
    "labels": {"class": "mask", "depth": "depth", "normals": "normals"},
}


def scenes(root: Path, number: int = 6) -> list[dict[str, Any]]:
    """Image files of 6 x 8 pixels, whose columns tell the class, the depth in millimetres and the normal."""
    rows, columns = [], np.arange(8)
    made = {
        "image": np.tile(columns[:, None] * np.uint8(30), (6, 1, 3)).astype(np.uint8),
        "mask": np.tile(np.where(columns == 7, 255, columns // 4), (6, 1)).astype(np.uint8),
        "depth": np.tile(columns * 1000, (6, 1)).astype(np.uint16),
        "normals": np.tile([[255, 128, 128]] * 7 + [[0, 0, 0]], (6, 1, 1)).astype(np.uint8),
    }
    for column, pixels in made.items():
        (root / "train" / column).mkdir(parents=True)
        for index in range(number):
            image = Image.fromarray(pixels)
            if column == "mask" and index % 2:
                image.putpalette([*range(30)] * 3)
            image.save(root / "train" / column / f"{index}.png")
    rows = [{column: f"train/{column}/{index}.png" for column in made} for index in range(number)]
    return rows


def of_files(folder: Path, rows: list[dict[str, Any]], images: dict[str, Any], **source: Any) -> dict[str, Any]:
    found = config(folder, rows, **FILES, **source)
    (folder / "val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    found["model"]["encoder"]["init_args"]["images"] = images
    found["model"]["tasks"]["depth"] = {"class_path": "DepthEstimation", "init_args": {"scale": 0.001}}
    found["model"]["tasks"]["normals"] = "SurfaceNormals"
    return found


def test_labels_are_image_files_beside_their_images(tmp_path: Path) -> None:
    rows = scenes(tmp_path)
    table = FileSource({"train": "t.jsonl"}, **FILES, root=str(tmp_path))
    folders = NpyFolderSource({"train": "train"}, **FILES, root=str(tmp_path))
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = {"class": SemanticSegmentation(2), "depth": DepthEstimation(scale=0.001), "normals": SurfaceNormals()}
    processor = UNetEncoder(images=Images((3, 4))).processor
    for source in (table, folders):
        encoded = Encoding("d", source, processor, tasks)(source.load()["train"], "train")
        missing = {name: task.missing for name, task in tasks.items()}
        dataset = StepDataset({"d": encoded}, processor, missing, {name: type(t).moved for name, t in tasks.items()})
        batch = dataset[{"d": Rows([0, 1], {})}]["d"]
        assert batch.targets["class"].tolist() == [[[0, 0, 1, -100]] * 3] * 2
        torch.testing.assert_close(batch.targets["depth"], torch.tensor([1.0, 3.0, 5.0, 7.0]).expand(2, 3, 4))
        assert list(encoded["counts/depth"]) == [6 * 7] * 6, "0 is not measured"
        found = batch.targets["normals"][0, :, 0]
        assert found[0, :3].tolist() == pytest.approx([1.0] * 3, abs=0.001) and found[:, 3].isnan().all()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda path: Image.new("L", (4, 6)).save(path), "the label is 6 x 4 pixels, the image 6 x 8 (height x width)"),
        (lambda path: Image.new("L", (8, 6), 9).save(path), "class 9 in row 1, column 1 of the image is out of range"),
        (lambda path: Image.new("RGB", (8, 6)).save(path), "has 3 channels, and the label 1; save it as a PNG of grey"),
        (lambda path: Image.new("L", (8, 6)).save(path, "JPEG"), "is JPEG, which changes numbers; save labels of"),
        (lambda path: path.unlink(), "did you mean"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "is broken"),
    ],
    ids=["size", "class", "colours", "jpeg", "gone", "cut off"],
)
def test_a_bad_label_file_is_one_line_or_skipped(
    break_it: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = scenes(tmp_path)
    break_it(tmp_path / rows[3]["mask"])
    path = tmp_path / "config.yaml"
    found = of_files(tmp_path, rows, {"size": [6, 8]})
    path.write_text(json.dumps(found))
    assert main(["fit", "--config", str(path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "train.jsonl, line 4" in error and "column 'mask' (task 'class')" in error and said in error
    found["data"]["datasets"]["d"]["init_args"]["on_bad_row"] = "skip"
    if said.startswith("the label is"):
        path.write_text(json.dumps(found))
        assert main(["fit", "--config", str(path)]) == 0
        (skipped,) = tmp_path.rglob("skipped_rows/d-train.jsonl")
        assert said in skipped.read_text()


def test_the_log_shows_images_labels_and_predictions(tmp_path: Path) -> None:
    found = of_files(tmp_path, scenes(tmp_path), {"size": [6, 8], "augment": ["RandomHorizontalFlip"]})
    found["trainer"]["callbacks"] = [{"class_path": "PixelGrids", "init_args": {"number": 2}}]
    found["model"]["tasks"]["normals"] = {"class_path": "SurfaceNormals", "init_args": {"architecture": "aspp"}}
    found["model"]["tasks"]["classes"] = found["model"]["tasks"].pop("class")
    labels = found["data"]["datasets"]["d"]["init_args"]["labels"]
    found["data"]["datasets"]["d"]["init_args"]["labels"] = {**labels, "classes": "mask"}
    found["data"]["datasets"]["d"]["init_args"]["labels"].pop("class")
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(found))
    assert main(["fit", "--config", str(path), "--wandb=offline"]) == 0
    _exported(tmp_path)
    (log,) = tmp_path.rglob("offline-run-*")
    (logged,) = [item for item in wandb_log.history(log) if "grids/depth._type" in item]
    assert logged["trainer/global_step"] == 3
    for task in ("classes", "depth", "normals"):
        (file,) = tmp_path.rglob(f"grids/{task}/3.png")
        grid = np.asarray(Image.open(file))
        assert grid.shape == (6 * 2 + 2, 8 * 3 + 4, 3)
        image, label, prediction = grid[:6, :8], grid[:6, 10:18], grid[:6, 20:]
        assert (np.diff(image[..., 0].astype(int)) > 0).all(), "evaluation flips nothing"
        if task == "depth":
            assert abs(prediction.mean() - 230 * 3 / 6) < 20, "the mean depth, 4 of 1 to 7, where training begins"
        shown = np.asarray(Image.open(next(log.glob(f"files/media/images/grids/{task}*.png"))).convert("RGB"))
        assert np.array_equal(shown, grid)
        missing = 0 if task == "depth" else 7
        assert (label[:, missing] == 255).all() and not (label[:, 3] == 255).all()


def _exported(folder: Path) -> None:
    """An exported model predicts what its checkpoint does, and draws the same."""
    (checkpoint,) = folder.rglob("best.ckpt")
    out = str(folder / "onnx")
    assert main(["export", "--ckpt_path", str(checkpoint), "--format", "onnx", "--output", out]) == 0
    seen, lines = [], []
    for name, model in (("a", f"--ckpt_path={checkpoint}"), ("b", f"--model={out}")):
        file = folder / f"{name}.jsonl"
        given = ["predict", model, f"--input={folder / 'val.jsonl'}", f"--output={file}"]
        assert main([*given, f"--images={folder / name}"]) == 0
        lines.append([json.loads(line)["predictions"] for line in file.read_text().splitlines()])
        seen.append(
            {
                path.relative_to(folder / name): np.asarray(Image.open(path))
                for path in folder.rglob("*/00*.png")
                if name in path.parts
            }
        )
    assert len(seen[0]) == 6 and seen[0].keys() == seen[1].keys()
    for path, pixels in seen[0].items():
        np.testing.assert_allclose(pixels.astype(int), seen[1][path].astype(int), atol=1)
    assert lines[1][0]["depth"] == {"depth": str(folder / "b" / "depth" / "000001.png")}


def test_grids_need_a_task_that_labels_pixels() -> None:
    with pytest.raises(UserError, match="`number` must be at least 1, found 0"):
        PixelGrids(0)
    model: Any = SimpleNamespace(tasks={"n": Regression()})
    with pytest.raises(UserError, match=r"trainer\.callbacks: PixelGrids needs a task that labels pixels"):
        PixelGrids().setup(SimpleNamespace(), model, "fit")  # type: ignore[arg-type]


def test_a_mask_of_another_size_lies_stretched_over_an_image_that_is_stretched() -> None:
    image = ImageProcessor(Images((6, 8), "stretch")).encode({"image": [np.zeros((12, 8, 3), np.uint8)]})["image"][0]
    task = SemanticSegmentation(2)
    assert task.count(task.fit(task.encode([[0, 1]]), {"image": image})) == 2
    found = ImageProcessor(Images((6, 8), "stretch")).moved({"image": image}, None)
    assert found is not None and found(np.array([[0, 1]]), -1).tolist() == [[0] * 4 + [1] * 4] * 6


def test_a_sharing_of_pooled_features_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    found = config(tmp_path, GOOD)
    found["model"]["sharing"] = "MMoE"
    path.write_text(json.dumps(found))
    assert main(["fit", "--config", str(path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "task 'class' reads feature maps, but MMoE, as it is set, changes pooled features alone" in error
