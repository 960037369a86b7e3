"""Recordings are shown with their labels and predictions."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import wandb_log
from PIL import Image

from mtl_lightning.__main__ import main
from mtl_lightning.callbacks import SoundExamples
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import SequenceClassification

SOUNDS = {"sample_rate": 1000, "num_mels": 8, "window": 0.1, "hop": 0.05}


def config(folder: Path) -> str:
    lines = ["file,pitch,length"]
    for number in range(8):
        samples = np.sin(np.arange(600 + 100 * number) * (1 if number % 2 else 0.2))
        soundfile.write(folder / f"{number}.wav", samples, 1000)
        lines.append(f"{number}.wav,{'high' if number % 2 else 'low'},{1 + number / 2}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    encoder = {"class_path": "SpectrogramEncoder", "init_args": {"channels": [2], "features": 4, "sounds": SOUNDS}}
    source = {
        **{"files": {"train": "table.csv", "val": "table.csv"}, "root": str(folder), "inputs": {"sound": "file"}},
        "labels": {"pitch": "pitch", "length": "length"},
    }
    found = {
        "model": {"encoder": encoder, "tasks": {"pitch": "SequenceClassification", "length": "Regression"}},
        "data": {"datasets": {"d": {"class_path": "FileSource", "init_args": source}}, "batch_size": 4},
        "trainer": {
            **{"max_epochs": 1, "default_root_dir": str(folder / "run")},
            "callbacks": [{"class_path": "SoundExamples", "init_args": {"number": 3}}],
        },
    }
    (folder / "config.yaml").write_text(json.dumps(found))
    return str(folder / "config.yaml")


def test_spectrograms_are_kept_and_logged_with_labels_and_predictions(tmp_path: Path) -> None:
    assert main(["fit", "--config", config(tmp_path), "--wandb=offline"]) == 0
    pictures = {
        task: np.asarray(Image.open(next(tmp_path.rglob(f"sounds/{task}/2.png")))) for task in ("pitch", "length")
    }
    assert pictures["pitch"].shape == (3 * 8 + 2 * 2, 1 + 14, 3), "frames of the longest of the first three"
    assert (pictures["pitch"][0, 12:] == 255).all(), "the first is shorter"
    lines = {
        task: [json.loads(line) for line in next(tmp_path.rglob(f"sounds/{task}/2.jsonl")).read_text().splitlines()]
        for task in pictures
    }
    assert [line["label"] for line in lines["pitch"]] == ["low", "high", "low"]
    assert [line["label"] for line in lines["length"]] == ["1", "1.5", "2"]
    assert all(line["prediction"].startswith(("low (0.", "high (0.")) for line in lines["pitch"])
    assert all(float(line["prediction"]) < 5 for line in lines["length"])
    (log,) = tmp_path.rglob("offline-run-*")
    (logged,) = [item for item in wandb_log.history(log) if "sounds/pitch._type" in item]
    assert "label low, predicted" in str(logged["sounds/pitch.captions"])


def test_a_model_that_hears_nothing_is_refused() -> None:
    model: Any = SimpleNamespace(tasks={"a": SequenceClassification()}, encoder=PerceptronEncoder(1, [2]))
    with pytest.raises(UserError, match="SoundExamples needs an encoder of sounds, and PerceptronEncoder reads none"):
        SoundExamples().setup(SimpleNamespace(), model, "fit")  # type: ignore[arg-type]
