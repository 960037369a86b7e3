"""Whole runs of heads that label words: training, evaluation, resuming, prediction from a checkpoint alone."""

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import tiny

from mtl_lightning.__main__ import main

ENCODER = {"class_path": "TransformerEncoder", "init_args": {"config": tiny.BERT, "tokenizer": "characters:ascii"}}
TASKS = {
    "path": {"class_path": "TokenClassification", "init_args": {"scheme": "bio", "decoding": "crf"}},
    "entities": {
        "class_path": "TokenClassification",
        "init_args": {"scheme": "bio", "decoding": "crf", "spans": "inclusive"},
    },
    "features": {"class_path": "TokenMultiLabelClassification", "init_args": {"separator": "|", "empty": "_"}},
}


def row(draw: Random) -> dict[str, Any]:
    words = [draw.choice("abc") for _ in range(draw.randint(1, 4))]
    follows = {"a": "I-x"}
    tags = ["B-x" if word == "a" else follows.get(before, "O") for before, word in pairwise(["c", *words])]
    starts = [place for place, tag in enumerate(tags) if tag == "B-x"]
    entities = [{"start": place, "end": place, "type": "x"} for place in starts]
    features = ["Vowel=Yes|First=Yes" if word == "a" else "_" for word in words]
    return {"words": words, "tags": draw.choice([tags, None]), "entities": entities, "features": features}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a whole run lies, and the checkpoint of one that was interrupted; the data is gone."""
    made, draw = tmp_path_factory.mktemp("words"), Random(2)
    for split, size in (("train", 20), ("val", 12)):
        tiny.write_rows(made / f"{split}.jsonl", [row(draw) for _ in range(size)])
    config = json.loads(json.dumps(tiny.CONFIG))
    config["model"] |= {"encoder": ENCODER, "tasks": TASKS}
    labels = {"path": "tags", "entities": "entities", "features": "features"}
    config["data"]["datasets"]["d"]["init_args"] |= {"inputs": {"tokens": "words"}, "labels": labels}
    with tiny.whole_run(made, config, "--json=metrics.json"):
        tiny.interrupted()
        for path in (*made.glob("*.jsonl"), made / "config.yaml"):
            path.unlink()
        yield made


def test_all_are_evaluated(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics) == {*TASKS, "joint", "average"}
    assert all(0 <= metrics[task]["f1"] <= 1 for task in TASKS)


def test_a_resumed_run_is_bitwise_an_uninterrupted_one(folder: Path) -> None:
    tensors = tiny.check_same_states(folder)
    assert {"heads.path.head.transitions", "heads.features.head.weight"} <= set(tensors)


def test_a_checkpoint_alone_predicts_them(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "whole" / "checkpoints" / "last.ckpt", "model.ckpt")
    Path("in.jsonl").write_text('{"words": ["a", "b", "c"]}\n{"words": ["c"]}\n')
    assert main(["predict", "--ckpt_path=model.ckpt", "--input=in.jsonl", "--output=out.jsonl"]) == 0
    for line, number in zip(Path("out.jsonl").read_text().splitlines(), (3, 1), strict=True):
        predictions = json.loads(line)["predictions"]
        assert set(predictions) == set(TASKS)
        for task in TASKS:
            labels, probabilities = (predictions[task][key] for key in ("labels", "probabilities"))
            assert len(labels) == len(probabilities) == number
        assert predictions["path"]["labels"][0] != "I-x"
        assert all(set(labels) <= {"Vowel=Yes", "First=Yes"} for labels in predictions["features"]["labels"])
