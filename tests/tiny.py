"""A run that takes a fraction of a second: a perceptron, a classification and a regression on three numbers."""

import json
import random
from pathlib import Path
from typing import Any

import yaml

from mtl_lightning.__main__ import main

CONFIG: dict[str, Any] = {
    "name": "run",
    "model": {
        "encoder": {"class_path": "PerceptronEncoder", "init_args": {"in_features": 3, "hidden": [4]}},
        "tasks": {"cls": "SequenceClassification", "reg": "Regression"},
        "optimizer": {"class_path": "AdamW", "init_args": {"lr": 0.01}},
    },
    "data": {
        "datasets": {
            "d": {
                "class_path": "FileSource",
                "init_args": {
                    "files": {"train": "train.jsonl", "val": "val.jsonl", "test": "val.jsonl"},
                    "inputs": {"features": "f"},
                    "labels": {"cls": "x", "reg": "y"},
                },
            }
        },
        "batch_size": 5,
        "num_workers": 0,
    },
    "trainer": {
        "max_epochs": 2,
        "accelerator": "cpu",
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    },
    "wandb": "off",
}
BERT: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 7,
    "max_position_embeddings": 12,
}
"""The configuration of a transformer whose step takes milliseconds."""


def write(folder: Path, chance: bool = False) -> None:
    """Writes ``config.yaml`` with 20 examples to train on and 12 to validate.

    Args:
        folder: Where.
        chance: Whether the labels of training say nothing, so that validation soon gets worse.
    """
    draw = random.Random(1)
    for split, size in (("train", 20), ("val", 12)):
        rows = [_row(draw, chance and split == "train") for _ in range(size)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))


def fit(folder: str, *options: str) -> int:
    """``fit`` with that configuration, into a folder."""
    return main(["fit", "--config", "config.yaml", f"--trainer.default_root_dir={folder}", *options])


def _row(draw: random.Random, chance: bool) -> dict[str, Any]:
    features = [draw.gauss(0, 1) for _ in range(3)]
    label = draw.choice("pq") if chance else "pq"[features[0] > 0]
    return {
        "f": features,
        "x": label,
        "y": features[0] * 2 + features[2],
        "z": [t for t in "abc" if draw.random() > 0.5],
    }
