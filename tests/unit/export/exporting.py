"""Small trained models of several kinds of heads, without training."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import BERT

import mtl_lightning
from mtl_lightning.__main__ import main
from mtl_lightning.checkpoints import AtomicCheckpointIO
from mtl_lightning.training.from_checkpoint import made
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.trust.imports import Imports

TASKS: dict[str, Any] = {
    "mood": {"class_path": "SequenceClassification", "init_args": {"labels": ["bad", "good", "so so"]}},
    "stars": {"class_path": "Regression", "init_args": {"mean": 3.0, "std": 1.5}},
    "topics": {"class_path": "MultiLabelClassification", "init_args": {"labels": ["a", "b"], "threshold": 0.4}},
    "tags": {
        "class_path": "TokenClassification",
        "init_args": {"labels": ["O", "B-x", "I-x"], "scheme": "bio", "main_metric": "f1"},
    },
}
DATA = {
    "reviews": {
        "class_path": "FileSource",
        "init_args": {
            "files": {"train": "/home/somebody/reviews.csv"},
            "inputs": {"text": "review"},
            "labels": {"mood": "mood", "stars": "stars", "topics": "topics"},
        },
    },
    "tagged": {
        "class_path": "HubSource",
        "init_args": {"path": "some/tags", "inputs": {"tokens": "words"}, "labels": {"tags": "tags"}},
    },
}


def encoder(**settings: Any) -> dict[str, Any]:
    """A transformer over characters, of random weights."""
    init = {"tokenizer": "characters:printable", "config": {**BERT, "max_position_embeddings": 40}, "max_length": 32}
    return {"class_path": "TransformerEncoder", "init_args": {**init, **settings}}


def checkpoint(path: Path, model: Mapping[str, Any], metrics: Mapping[str, float] | None = None) -> MultiTaskModule:
    """Writes a checkpoint of a model with random weights, as ``fit`` does; returns what it holds."""
    config = {"encoder": encoder(), "tasks": TASKS, **model}
    module = made(MultiTaskModule, deepcopy(config), path, Imports(str(path), {}, (), ""))
    torch.manual_seed(1)
    module.build()
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.5)
    module.keep_config({"model": config, "data": {"datasets": DATA}, "seed_everything": 3})
    contents = module.contents()
    contents["mtl_lightning"] |= {"metrics": dict(metrics or {}), "made_of": {"weighting": "UPGrad"}}
    contents |= {"epoch": 1, "global_step": 1234, "callbacks": {"TrainingTime": {"seconds": 90.0}}}
    AtomicCheckpointIO().save_checkpoint(contents, path)
    return mtl_lightning.load(path)


def export(*arguments: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    """Runs ``export``, which must succeed, or else is to print a line, which is returned."""
    status = main(["export", *arguments])
    if capsys is None:
        assert status == 0
        return ""
    assert status == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line
