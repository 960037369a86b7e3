"""A checkpoint that version 0.1.0 wrote, before its files had folders, still evaluates, predicts and resumes.

``tests/checkpoints/version_0_1_0`` holds it with its data and what that version predicted: four kinds of tasks, FAMO.
"""

import gzip
import json
import shutil
from pathlib import Path

import pytest

import mtl_lightning

KEPT = Path(__file__).parents[1] / "checkpoints" / "version_0_1_0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train.jsonl", "val.jsonl"):
        shutil.copy(KEPT / name, tmp_path)
    checkpoints = tmp_path / "run" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for name in ("last.ckpt", "best.ckpt"):
        (checkpoints / name).write_bytes(gzip.decompress((KEPT / "last.ckpt.gz").read_bytes()))
    return tmp_path


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_loads(folder: Path) -> None:
    model = mtl_lightning.load(folder / "run" / "checkpoints" / "last.ckpt")
    assert list(model.tasks) == ["kind", "number", "several", "tags"]
    assert type(model.weighting) is mtl_lightning.weighting.FAMO


def test_it_predicts_what_it_did(folder: Path, forked) -> None:
    options = ("--ckpt_path", "run", "--input", "val.jsonl", "--output", "out.jsonl", "--trainer.accelerator=cpu")
    done = forked("predict", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    for found, kept in zip(rows(folder / "out.jsonl"), rows(KEPT / "predictions.jsonl"), strict=True):
        for task, expected in kept.items():
            predicted = found["predictions"][task]
            for key in ("label", "labels"):
                assert predicted.get(key) == expected.get(key)
            for key in ("probability", "probabilities", "value"):
                if key in expected:
                    assert predicted[key] == pytest.approx(expected[key], rel=1e-4, abs=1e-5)


def test_it_resumes(folder: Path, forked) -> None:
    options = ("--ckpt_path", "run", "--trainer.max_epochs=2", "--wandb=off", "--json=out.json")
    config = mtl_lightning.checkpoints.read_checkpoint(folder / "run/checkpoints/last.ckpt")["mtl_lightning"]["config"]
    (folder / "config.yaml").write_text(json.dumps({**config, "trainer": {"accelerator": "cpu"}}))
    done = forked("fit", "--config=config.yaml", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    saved = mtl_lightning.checkpoints.read_checkpoint(folder / "run/checkpoints/last.ckpt")
    assert saved["epoch"] == 2 and saved["global_step"] == 6
    assert list(json.loads((folder / "out.json").read_text()))[:4] == ["kind", "number", "several", "tags"]
