"""A parser from a treebank to a checkpoint: bad trees by line, resumed, predicted from the checkpoint alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import yaml

from mtl_lightning.__main__ import main
from mtl_lightning.tasks.trees import check_tree

CONFIG: dict[str, Any] = {
    **tiny.CONFIG,
    "model": {
        "encoder": {
            "class_path": "TransformerEncoder",
            "init_args": {"config": tiny.BERT, "tokenizer": "characters:ascii", "max_length": 12},
        },
        "tasks": {
            "tree": {"class_path": "DependencyParsing", "init_args": {"arc_size": 6, "relation_size": 4}},
            "upos": "TokenClassification",
        },
    },
    "data": {
        "datasets": {
            "bank": {
                "class_path": "FileSource",
                "init_args": {
                    "files": {"train": "train.conllu", "val": "val.conllu"},
                    "inputs": {"tokens": "form"},
                    "labels": {"tree": ["head", "deprel"], "upos": "upos"},
                },
            }
        },
        "batch_size": 4,
        "num_workers": 0,
    },
}
WORDS = (("a", "DET", 2, "det"), ("cat", "NOUN", 3, "nsubj"), ("sat", "VERB", 0, "root"), (".", "PUNCT", 3, "punct"))
SKIP = "--data.datasets.bank.on_bad_row=skip"


def sentence(number: int, heads: tuple[int, ...] | None = None) -> str:
    """Three words or four, the first two of which are one token; the encoder cuts off the fourth of some."""
    rows = [f"# sent_id = {number}", "1-2\tacat" + "\t_" * 8]
    for i, (form, upos, head, relation) in enumerate(WORDS[: 3 + number % 2], 1):
        head = heads[i - 1] if heads else head
        rows.append(f"{i}\t{form * (1 + number % 3)}\t_\t{upos}\t_\t_\t{head}\t{relation}\t_\t_")
    return "\n".join(rows) + "\n\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    bad = sentence(12, heads=(0, 3, 0))
    Path("train.conllu").write_text("".join(map(sentence, range(12))) + bad)
    Path("val.conllu").write_text("".join(map(sentence, range(12, 17))))
    Path("config.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


def test_a_parser_is_trained_resumed_and_predicts_from_its_checkpoint_alone(folder: Path, capsys: Any) -> None:
    assert tiny.fit("refused") == 2
    place = "train.conllu, line 83, columns 'head', 'deprel'"
    assert f"{place}: words 1 and 3 are roots (head 0); a tree has one" in capsys.readouterr().err
    assert tiny.fit("whole", SKIP) == 0
    (skipped,) = map(json.loads, Path("whole/skipped_rows/bank-train.jsonl").read_text().splitlines())
    assert "words 1 and 3 are roots" in json.dumps(skipped)
    assert tiny.fit("half", SKIP, "--trainer.max_epochs=1") == 0
    assert tiny.fit("resumed", SKIP, "--ckpt_path=half/checkpoints/last.ckpt") == 0
    whole, resumed = (torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True) for run in ("whole", "resumed"))
    for name, value in whole["state_dict"].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, resumed["state_dict"][name]), name
    for file in ("train.conllu", "val.conllu", "config.yaml"):
        Path(file).unlink()
    Path("new.jsonl").write_text('{"form": ["the", "cat", "sat", "sat", "sat"]}\n')
    assert main(["predict", "--ckpt_path=whole", "--input=new.jsonl", "--output=found.jsonl"]) == 0
    tree = json.loads(Path("found.jsonl").read_text())["predictions"]["tree"]
    assert tree["heads"][4:] == tree["relations"][4:] == tree["probabilities"][4:] == [None]
    check_tree(tree["heads"][:4])
    assert set(tree["relations"][:4]) <= {"det", "nsubj", "root", "punct"}
