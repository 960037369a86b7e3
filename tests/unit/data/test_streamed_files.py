"""Streams whose rows name files."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny
import yaml
from PIL import Image

ENCODERS: dict[str, Any] = {
    "image": {
        "class_path": "ConvolutionalEncoder",
        "init_args": {"channels": [2], "features": 4, "images": {"size": 4, "augment": ["RandomHorizontalFlip"]}},
    },
    "sound": {
        "class_path": "SpectrogramEncoder",
        "init_args": {"channels": [2], "features": 4, "sounds": {"sample_rate": 8000, "num_mels": 8}},
    },
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_they_are_trained_on(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        values = np.random.default_rng(number).random((6, 5 + number))
        Image.fromarray((values * 255).astype(np.uint8)).save(f"{number}.png")
        soundfile.write(f"{number}.wav", values.ravel() - 0.5, 8000)
    ending = {"image": "png", "sound": "wav"}[kind]
    tiny.write_rows(tmp_path / "rows.jsonl", [{"f": f"{n}.{ending}", "x": "ab"[n % 2]} for n in range(6)])
    config = copy.deepcopy(tiny.CONFIG)
    config["model"]["encoder"] = ENCODERS[kind]
    config["model"]["tasks"] = {"cls": {"class_path": "SequenceClassification", "init_args": {"labels": ["a", "b"]}}}
    config["data"]["datasets"]["d"]["init_args"] = {
        "files": {"train": "rows.jsonl", "val": "rows.jsonl"},
        "inputs": {kind: "f"},
        "labels": {"cls": "x"},
        "streaming": {"num_examples": 6},
    }
    Path("config.yaml").write_text(yaml.safe_dump(config))
    assert tiny.fit("run", "--trainer.max_epochs=1") == 0
    assert "val/cls/accuracy" in tiny.logged("run")
