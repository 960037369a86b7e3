"""A run that takes a fraction of a second: a perceptron, a classification and a regression on three numbers."""

import csv
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
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
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
"""The same of a language model."""
T5: dict[str, Any] = {
    "model_type": "t5",
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 2,
}
"""The same of an encoder-decoder model, whose positions are relative and without limit."""
BART: dict[str, Any] = {
    "model_type": "bart",
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 40,
}
"""The same of one whose positions are learnt."""
VISION: dict[str, dict[str, Any]] = {
    "resnet": {
        "model_type": "resnet",
        "embedding_size": 4,
        "hidden_sizes": [4, 6],
        "depths": [1, 1],
        "layer_type": "basic",
    },
    "convnext": {"model_type": "convnext", "hidden_sizes": [4, 6], "depths": [1, 1], "num_stages": 2},
    "swin": {
        **{"model_type": "swin", "image_size": 32, "patch_size": 4, "window_size": 2},
        **{"embed_dim": 3, "depths": [1, 1], "num_heads": [1, 2]},
    },
    "vit": {
        "model_type": "vit",
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 6,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 7,
    },
}
"""The same of models of images."""

_CONVOLUTIONS = {"conv_dim": [8, 8], "conv_kernel": [10, 3], "conv_stride": [5, 2], "num_feat_extract_layers": 2}
_WAVEFORM = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, **_CONVOLUTIONS},
    **{"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2},
}
_OVER_CHANNELS = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}

SOUND: dict[str, dict[str, Any]] = {
    "wav2vec2": {"model_type": "wav2vec2", **_WAVEFORM},
    "hubert": {"model_type": "hubert", **_WAVEFORM, **_OVER_CHANNELS},
    "wavlm": {"model_type": "wavlm", **_WAVEFORM, **_OVER_CHANNELS},
    "whisper": {
        **{"model_type": "whisper", "d_model": 16, "num_mel_bins": 8, "max_source_positions": 20, "vocab_size": 60},
        **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
        **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
        **{f"{part}_ffn_dim": 16 for part in ("encoder", "decoder")},
        **{"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 2},
    },
}
"""The same of models of sounds; wav2vec 2.0's norm is over time."""


def write(folder: Path, chance: bool = False) -> None:
    """Writes ``config.yaml`` with 20 examples to train on and 12 to validate.

    Args:
        folder: Where.
        chance: Whether the labels of training say nothing, so that validation soon gets worse.
    """
    draw = random.Random(1)
    for split, size in (("train", 20), ("val", 12)):
        rows = [_row(draw, chance and split == "train") for _ in range(size)]
        write_rows(folder / f"{split}.jsonl", rows)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))


def fit(folder: str, *options: str) -> int:
    """``fit`` with that configuration, into a folder."""
    return main(["fit", "--config", "config.yaml", f"--trainer.default_root_dir={folder}", *options])


@contextmanager
def whole_run(folder: Path, config: Mapping[str, Any], *options: str) -> Iterator[Path]:
    """A run into ``whole`` in a folder with its data, which tests then look at from inside; yields the folder."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert fit("whole", *options) == 0
        yield folder


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def logged(run: str) -> set[str]:
    """What a run has written a number of into its log."""
    with open(f"{run}/metrics.csv", newline="") as file:
        return {name for found in csv.DictReader(file) for name, value in found.items() if value}


def interrupted(*options: str) -> None:
    """The same run into ``part``, interrupted after the first epoch and resumed."""
    assert fit("part", "--trainer.max_epochs=1", *options) == 0
    assert fit("part", "--ckpt_path=part", *options) == 0


def check_same_states(folder: str | Path = ".") -> list[str]:
    """The runs ``part`` and ``whole`` in a folder must have ended alike, to the bit.

    Returns:
        The names of their tensors.
    """
    part, whole = (
        torch.load(Path(folder, run, "checkpoints", "last.ckpt"), weights_only=True)["state_dict"]
        for run in ("part", "whole")
    )
    tensors = [name for name, value in whole.items() if isinstance(value, torch.Tensor)]
    assert tensors and part.keys() == whole.keys()
    assert all(torch.equal(part[name], whole[name]) for name in tensors)
    return tensors


def _row(draw: random.Random, chance: bool) -> dict[str, Any]:
    features = [draw.gauss(0, 1) for _ in range(3)]
    label = draw.choice("pq") if chance else "pq"[features[0] > 0]
    return {
        "f": features,
        "x": label,
        "y": features[0] * 2 + features[2],
        "z": [t for t in "abc" if draw.random() > 0.5],
    }
