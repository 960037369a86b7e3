"""A run on two data sets of texts that takes a second or two: a classification and a regression, interleaved."""

import json
import random
from pathlib import Path
from typing import Any

import yaml
from tiny import CONFIG as TINY


def _source(name: str, labels: dict[str, str]) -> dict[str, Any]:
    files = {split: f"{{folder}}/{name}-{split}.jsonl" for split in ("train", "val")}
    files["test"] = files["val"]
    return {"class_path": "FileSource", "init_args": {"files": files, "inputs": {"text": "t"}, "labels": labels}}


_BERT = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
_ENCODER = {"tokenizer": "characters:ascii", "max_length": 16, "config": {**_BERT, "intermediate_size": 8}}
CONFIG: dict[str, Any] = {
    "name": "run",
    "model": {
        "encoder": {"class_path": "TransformerEncoder", "init_args": _ENCODER},
        "tasks": {"cls": "SequenceClassification", "reg": "Regression"},
        "weighting": "UPGrad",
        "optimizer": {"class_path": "AdamW", "init_args": {"lr": 0.01}},
    },
    "data": {
        "datasets": {"one": _source("one", {"cls": "l"}), "two": _source("two", {"reg": "y"})},
        "batch_size": 2,
        "num_workers": 0,
    },
    "trainer": TINY["trainer"],
    "save_every_n_steps": 2,
    "wandb": "off",
}


def write(folder: Path) -> None:
    """Writes ``config.yaml`` with 16 examples of each data set to train on and 8 to validate."""
    draw = random.Random(0)
    for name in ("one", "two"):
        for split, size in (("train", 16), ("val", 8)):
            rows = [{"t": _text(draw), "l": draw.choice("pqr"), "y": draw.random()} for _ in range(size)]
            (folder / f"{name}-{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = yaml.safe_dump(CONFIG, sort_keys=False).replace("{folder}", str(folder))
    (folder / "config.yaml").write_text(text)


def _text(draw: random.Random) -> str:
    return "".join(draw.choice("abcdefg ") for _ in range(draw.randint(3, 12))) + "x"
