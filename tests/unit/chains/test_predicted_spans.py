"""Entities and relations together: the spans are those that are given, or those that another task finds."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import mtl_lightning
from mtl_lightning.__main__ import main
from mtl_lightning.chains import PredictedSpans
from mtl_lightning.encoders import Representation
from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels.spans import kind_of
from mtl_lightning.tasks import Regression, RelationClassification, Task, TokenClassification

TAGS = ["O", "B-x", "I-x", "B-y"]


def tasks(**changes: Task) -> dict[str, Task]:
    return {
        "entities": TokenClassification("bio", labels=TAGS),
        "relations": RelationClassification(labels=["in", "won"], hidden=4),
        **changes,
    }


def test_in_evaluation_spans_are_those_that_are_found() -> None:
    link = PredictedSpans("entities")
    link.build("relations", tasks())
    tags = torch.tensor([[1, 2, 0, 3], [0, 0, 0, 0], [0, 3, 0, 0]])
    mask = torch.tensor([[True] * 4, [True] * 4, [True] * 2 + [False] * 2])
    features = Representation(None, torch.zeros(3, 4, 8), mask, {"spans": torch.zeros(3, 1, 3), "words": tags})
    earlier = {"entities": torch.nn.functional.one_hot(tags, 4).float()}
    assert link.read(features, earlier) is features
    link.eval()
    found = link.read(features, earlier).given
    none, x, y = [-1] * 3, kind_of("x"), kind_of("y")
    assert found["spans"].tolist() == [[[0, 2, x], [3, 4, y]], [none, none], [[1, 2, y], none]]
    assert found["words"] is tags
    outside = link.read(features, {"entities": torch.zeros(3, 4, 4)}).given["spans"]
    assert outside.shape == (3, 0, 3)
    task = tasks()["relations"]
    task.build(8)
    assert task(features._replace(given={"spans": outside})).scores.shape == (3, 0, 0, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"entities": TokenClassification(labels=["a", "b"])}, "'entities' finds no spans"),
        ({"relations": Regression(mean=0.0, std=1.0)}, "Regression reads no spans"),
        ({"relations": RelationClassification(labels=["a", "b"], pairs="related")}, "set `pairs: all`"),
    ],
)
def test_links_that_are_refused(changes: dict[str, Task], words: str) -> None:
    with pytest.raises(UserError, match=words):
        PredictedSpans("entities").build("relations", tasks(**changes))


def rows(number: int) -> list[dict[str, Any]]:
    """Names in capitals are people (x) and places (y); ``in`` leads from the one before it to the one behind."""
    found = []
    for i in range(number):
        words = ["AB", "is", "in", "CD"] if i % 2 else ["then", "CD", "saw", "AB"]
        people, places = words.index("AB"), words.index("CD")
        entities = [{"start": at, "end": at + 1, "type": kind} for at, kind in ((people, "x"), (places, "y"))]
        related = [{"head": [people, people + 1], "tail": [places, places + 1], "type": "in" if i % 2 else "won"}]
        found.append({"words": words, "entities": entities, "relations": related})
    return found


def config(folder: Path) -> Path:
    for split, number in {"train": 64, "val": 8}.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(number)))
    bert = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    made = {
        "model": {
            "encoder": {
                "class_path": "TransformerEncoder",
                "init_args": {
                    "config": {**bert, "intermediate_size": 32, "max_position_embeddings": 32},
                    "tokenizer": "characters:ascii",
                },
            },
            "tasks": {
                "entities": {"class_path": "TokenClassification", "init_args": {"scheme": "bio", "spans": "exclusive"}},
                "relations": "RelationClassification",
            },
            "chain": {"relations": {"class_path": "PredictedSpans", "init_args": {"after": "entities"}}},
            "optimizer": {"class_path": "AdamW", "init_args": {"lr": 0.01}},
        },
        "data": {
            "datasets": {
                "d": {
                    "class_path": "FileSource",
                    "init_args": {
                        "root": str(folder),
                        "files": {"train": "train.jsonl", "val": "val.jsonl"},
                        "inputs": {"tokens": "words", "spans": "entities"},
                        "labels": {"entities": "entities", "relations": "relations"},
                    },
                }
            },
            "batch_size": 8,
        },
        "trainer": {"max_epochs": 4, "enable_progress_bar": False, "accelerator": "cpu"},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(made))
    return path


def test_entities_and_relations_are_found_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main(["fit", "--config", str(config(tmp_path)), "--wandb", "off", "--trainer.default_root_dir", str(tmp_path)])
    (metrics,) = tmp_path.rglob("metrics.csv")
    assert "val/relations/f1" in metrics.read_text().splitlines()[0]
    (checkpoint,) = tmp_path.rglob("best.ckpt")
    model = mtl_lightning.load(checkpoint)
    (found,) = model.predict({"tokens": [["AB", "is", "in", "CD"]]})
    assert [span["word"] for span in found["entities"]["spans"]] == ["AB", "CD"]
    (relation,) = found["relations"]["relations"]
    assert (relation["label"], relation["head"]["word"], relation["tail"]["word"]) == ("in", "AB", "CD")
