"""Encoding of inputs and labels: messages, missing labels, truncation, cache keys."""

import copy
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from mtl_lightning.data import DataSource, FileSource
from mtl_lightning.data.encoding import Encoding, check_columns
from mtl_lightning.data.examples import FORMAT
from mtl_lightning.data.labels import understood_labels
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.rows.columns import Labels
from mtl_lightning.tasks import (
    IGNORE,
    MultiLabelClassification,
    Regression,
    SequenceClassification,
    TokenClassification,
)
from mtl_lightning.tasks.base import Task

ROWS = [
    {"text": "one", "words": ["ab", "c"], "topic": "x", "tags": ["O", "A"], "score": 1.5, "flags": "p|q"},
    {"text": "three", "words": ["a"], "topic": None, "tags": None, "score": None, "flags": None},
    {"text": "b", "words": ["a", "b", "cd"], "topic": "", "tags": ["A", "", None], "score": None, "flags": ""},
    {"text": "a b", "words": ["e"], "topic": "y", "tags": [], "score": -2.0, "flags": "q"},
]
LABELS = {name: name for name in ("topic", "tags", "score", "flags")}


class Memory(DataSource):
    def __init__(self, inputs: Mapping[str, str], labels: Labels, rows: list[dict[str, Any]]) -> None:
        super().__init__(inputs, labels)
        self.rows = rows

    def load(self) -> dict[str, Dataset]:
        return {"train": Dataset.from_list(self.rows)}


def text_processor(max_length: int = 32) -> TextProcessor:
    return TextProcessor(character_tokenizer("ascii"), max_length)


def tasks(**changes: Task) -> dict[str, Task]:
    return {
        "topic": SequenceClassification(labels=["x", "y"]),
        "tags": TokenClassification(labels=["O", "A"]),
        "score": Regression(mean=0.0, std=1.0),
        "flags": MultiLabelClassification(labels=["p", "q"], separator="|"),
        **changes,
    }


def encode(
    rows: list[dict[str, Any]] = ROWS,
    inputs: Mapping[str, str] | None = None,
    labels: Labels = LABELS,
    processor: Any = None,
    labelled: bool = True,
    **changes: Task,
) -> Dataset:
    source = Memory(inputs or {"tokens": "words"}, labels, rows)
    used = {name: task for name, task in tasks(**changes).items() if name in labels}
    encoding = Encoding("mine", source, processor or text_processor(), used)
    return encoding(source.load()["train"], "train", labelled=labelled)


# -- labels of several columns -----------------------------------------------------------------------------------------
class Pairs(TokenClassification):
    """A tag of each word, and a number: tuples of two columns."""

    def encode(self, value: Any) -> list[list[int]]:
        tags, numbers = value
        if len(tags or []) != len(numbers):
            raise UserError(f"{len(tags or [])} tags for {len(numbers)} numbers")
        return [[ord(tag), number] for tag, number in zip(tags or [], numbers, strict=True)]

    def check(self, value: Any) -> None:
        self.encode(value)

    def count(self, target: Any) -> int:
        return len(target)


PAIRS = [{"words": ["a", "b"], "tags": ["x", "y"], "numbers": [1, 2]}, {"words": ["a"], "tags": ["z"], "numbers": [3]}]


def test_a_label_may_be_of_several_columns() -> None:
    columns = {"pairs": ["tags", "numbers"]}
    encoded = encode(PAIRS, labels=columns, pairs=Pairs(labels=["O", "A"]))
    assert [np.stack(row).tolist() for row in encoded["targets/pairs"]] == [[[120, 1], [121, 2]], [[122, 3]]]
    assert encoded["counts/pairs"][:].tolist() == [2, 1]
    source = Memory({"tokens": "words"}, columns, PAIRS)
    encoding = Encoding("mine", source, text_processor(), {"pairs": Pairs(labels=["O", "A"])})
    assert [*understood_labels(encoding, source.load()["train"], "train", "pairs")] == [
        (["x", "y"], [1, 2]),
        (["z"], [3]),
    ]


def test_errors_name_all_columns_of_a_label() -> None:
    rows = [*PAIRS, {"words": ["a"], "tags": ["x"], "numbers": []}]
    with pytest.raises(UserError, match=r"row 3, columns 'tags', 'numbers' \(task 'pairs'\): 1 tags for 0 numbers"):
        encode(rows, labels={"pairs": ["tags", "numbers"]}, pairs=Pairs(labels=["O", "A"]))
    source = Memory({"tokens": "words"}, {"pairs": ["tags", "numbers"]}, rows)
    encoding = Encoding("mine", source, text_processor(), {"pairs": Pairs(labels=["O", "A"])})
    with pytest.raises(UserError, match=r"row 3, columns 'tags', 'numbers': 1 tags for 0 numbers"):
        list(understood_labels(encoding, source.load()["train"], "train", "pairs"))
    with pytest.raises(UserError, match=r"data.datasets.mine.labels.pairs: the data has no column 'nubmers'"):
        encode(labels={"pairs": ["tags", "nubmers"]}, pairs=Pairs(labels=["O", "A"]))
    with pytest.raises(UserError, match=r"`labels\.pairs` must name a column, or several different ones"):
        Memory({"tokens": "words"}, {"pairs": ["tags", "tags"]}, rows)


# -- columns -----------------------------------------------------------------------------------------------------------
def test_columns_lengths_and_counts() -> None:
    encoded = encode()
    assert encoded["length"][:].tolist() == [5, 3, 6, 3]
    assert [row.tolist() for row in encoded["inputs/word_starts"][:]] == [[1, 3], [1], [1, 2, 3], [1]]
    assert encoded["targets/topic"][:].tolist() == [0, IGNORE, IGNORE, 1]
    assert [row.tolist() for row in encoded["targets/tags"][:]] == [[0, 1], [IGNORE], [1, IGNORE, IGNORE], [IGNORE]]
    np.testing.assert_array_equal(encoded["targets/score"][:], [1.5, np.nan, np.nan, -2.0])
    counts = {name: encoded[f"counts/{name}"][:].tolist() for name in LABELS}
    assert counts == {"topic": [1, 0, 0, 1], "tags": [2, 0, 1, 0], "score": [1, 0, 0, 1], "flags": [2, 0, 0, 2]}
    assert not set(ROWS[0]) & set(encoded.column_names)


@pytest.mark.parametrize(("target", "count"), [(3, 1), (IGNORE, 0), ([IGNORE, 0, 1], 2), ([], 0)])
def test_count_labels(target: Any, count: int) -> None:
    assert SequenceClassification().count(target) == count


@pytest.mark.parametrize(("target", "count"), [(0.0, 1), (math.nan, 0), ([1.0, math.nan], 1)])
def test_count_numbers(target: Any, count: int) -> None:
    assert Regression().count(target) == count


def test_predict_needs_no_labels() -> None:
    rows = [{"words": row["words"]} for row in ROWS]
    encoded = encode(rows, labelled=False)
    assert encoded["length"][:].tolist() == [5, 3, 6, 3]
    assert not [name for name in encoded.column_names if name.startswith(("targets/", "counts/"))]
    with pytest.raises(UserError, match=r"mine\.labels\.topic: the data has no column 'topic'"):
        encode(rows)


def test_truncation_cuts_tags_to_the_words_kept() -> None:
    rows = [
        {"words": ["ab", "cd", "e"], "tags": ["O", "A", "A"]},
        {"words": ["a", "b", "c"], "tags": ["A", "O", "A"]},
        {"words": ["abcd", "e", "f"], "tags": None},
    ]
    encoded = encode(rows, labels={"tags": "tags"}, processor=text_processor(max_length=5))
    assert [row.tolist() for row in encoded["targets/tags"][:]] == [[0, 1], [1, 0, 1], [IGNORE]]
    assert [len(row) for row in encoded["inputs/word_starts"][:]] == [2, 3, 1]
    assert encoded["counts/tags"][:].tolist() == [2, 3, 0]
    assert encoded["length"][:].tolist() == [5, 5, 5]


def test_vectors() -> None:
    rows = [{"v": [1.0, 2.0], "score": 1.0}, {"v": [3.0, 4.0], "score": None}]
    encoded = encode(rows, {"features": "v"}, {"score": "score"}, TensorProcessor("features", 1))
    assert encoded["inputs/features"][:].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert encoded["length"][:].tolist() == [1, 1]
    assert encoded["counts/score"][:].tolist() == [1, 0]


# -- messages ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": {"txet": "text"}}, r"datasets\.mine\.inputs: .* no input 'txet'; did you mean 'text'"),
        ({"inputs": {"tokens": "wrds"}}, r"datasets\.mine\.inputs\.tokens: .* no column 'wrds'; did you mean 'words'"),
        ({"labels": {"topic": "tpic"}}, r"datasets\.mine\.labels\.topic: .* no column 'tpic'; did you mean 'topic'"),
        ({"inputs": {"text": "text"}}, r"task 'tags' labels words, .* the input `tokens`; it maps text"),
    ],
    ids=["input", "input-column", "label-column", "words-without-tokens"],
)
def test_unknown_names(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        encode(**arguments)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"tokens": "words", "text": "words"}, "give `tokens` .*; found tokens, text"),
        ({"context": "words"}, "give `context` with the question in `text`; found context"),
    ],
)
def test_inputs_that_do_not_go_together_are_refused_before_any_row(inputs: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=rf"^data\.datasets\.mine\.inputs: {message}"):
        Encoding("mine", Memory(inputs, {}, []), text_processor(), {})


def test_check_columns_passes_what_is_there() -> None:
    mapping = {"a": "text", "b": "text"}
    check_columns("here", mapping, Dataset.from_dict({"text": []}), FileSource({"train": "a.csv"}, mapping, {}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"topic": "xx"}, r"row 3, column 'topic' \(task 'topic'\): label 'xx' is not among .* did you mean 'x'"),
        ({"score": "much"}, r"row 3, column 'score' \(task 'score'\): expected a finite number, found 'much'"),
        ({"tags": ["O", "A", "B"]}, r"row 3, column 'tags' \(task 'tags'\): word 3: label 'B' is not among"),
        ({"tags": ["O", "A"]}, r"row 3, column 'tags' \(task 'tags'\): 2 tags for 3 words; there must be one a word"),
        ({"tags": ["O"] * 4}, r"row 3, column 'tags' \(task 'tags'\): 4 tags for 3 words"),
        ({"words": ["a", None, "b"]}, r"row 3, column 'words': word 2: expected a text, found None"),
    ],
    ids=["label", "number", "tag", "too-few-tags", "too-many-tags", "input"],
)
def test_bad_values_name_the_row(change: dict[str, Any], message: str) -> None:
    rows = [{**row, "score": None if row["score"] is None else str(row["score"])} for row in ROWS[:2]]
    rows.append({**ROWS[2], "score": "", **change})
    with pytest.raises(UserError, match=f"^data set 'mine', split 'train', {message}"):
        encode(rows)


def test_bad_values_name_the_file_and_a_row_far_down(tmp_path: Path) -> None:
    rows = [{"text": "a", "topic": "x"}] * 2500 + [{"text": "b", "topic": "z"}]
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = FileSource({"val": str(path)}, {"text": "text"}, {"topic": "topic"})
    encoding = Encoding("mine", source, text_processor(), {"topic": tasks()["topic"]})
    with pytest.raises(UserError, match=r"^data set 'mine', .*many\.jsonl, line 2501, column 'topic'"):
        encoding(source.load()["val"], "val")


# -- cache -------------------------------------------------------------------------------------------------------------
def test_rebuilt_encoder_and_tasks_have_the_same_key() -> None:
    assert encode()._fingerprint == encode()._fingerprint


def test_use_does_not_change_the_key() -> None:
    """What a tokenizer keeps from its last call, or a task from being built, has no part in it."""
    processor, used, source = text_processor(), tasks(), Memory({"tokens": "words"}, LABELS, ROWS)
    table = source.load()["train"]
    first = Encoding("mine", source, processor, used)(table, "train")._fingerprint
    processor.encode({"tokens": [["a"] * 50]})
    for task in used.values():
        task.build(4)
        task.eval()
    assert Encoding("mine", source, processor, used)(table, "train")._fingerprint == first
    assert Encoding("mine", source, copy.deepcopy(processor), used)(table, "train")._fingerprint == first


@pytest.mark.parametrize(
    "arguments",
    [
        {"processor": text_processor(max_length=16)},
        {"processor": TextProcessor(character_tokenizer("ascii"), 32, split="characters")},
        {"processor": TextProcessor(character_tokenizer("cjk"), 32)},
        {"topic": SequenceClassification(labels=["y", "x"])},
        {"topic": SequenceClassification(labels=["x", "y", "z"])},
        {"tags": TokenClassification(labels=["O", "A"], missing_tag="O")},
        {"flags": MultiLabelClassification(labels=["p", "q", "p|q"], separator=",")},
        {"labels": {**LABELS, "topic": "other"}},
        {"labels": {"topic": "topic"}},
        {"inputs": {"tokens": "others"}},
    ],
    ids=[
        "max-length",
        "split",
        "tokenizer",
        "label-order",
        "labels",
        "missing-tag",
        "separator",
        "label-column",
        "fewer-tasks",
        "input-column",
    ],
)
def test_key_changes_with(arguments: dict[str, Any]) -> None:
    rows = [{**row, "other": row["topic"], "others": row["words"]} for row in ROWS]
    assert encode(rows, **arguments)._fingerprint != encode(rows)._fingerprint


def test_losses_and_metrics_do_not_change_the_key() -> None:
    """Texts are tokenised once, however many class weights are tried."""
    weighted = SequenceClassification(
        labels=["x", "y"],
        main_metric="mcc",
        metrics=["f1"],
        positive="x",
        class_weights={"x": 2, "y": 1},
        focal_gamma=2,
        label_smoothing=0.1,
    )
    assert encode(topic=weighted)._fingerprint == encode()._fingerprint


def test_key_changes_with_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    before = encode()._fingerprint
    monkeypatch.setattr("mtl_lightning.data.encoding.FORMAT", FORMAT + 1)
    assert encode()._fingerprint != before


def test_key_changes_with_the_data() -> None:
    assert encode(ROWS[::-1])._fingerprint != encode()._fingerprint


def test_separator_changes_what_is_read_from_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "flags.jsonl"
    path.write_text('{"text": "a", "flags": "p|q"}\n')
    source = FileSource({"train": str(path)}, {"text": "text"}, {"flags": "flags"})
    found = []
    for separator in ("|", ","):
        task = MultiLabelClassification(labels=["p", "q", "p|q"], separator=separator)
        encoded = Encoding("mine", source, text_processor(), {"flags": task})(source.load()["train"], "train")
        found.append(encoded["targets/flags"][:].tolist())
    assert found == [[[1, 1, 0]], [[0, 0, 1]]]


def test_cached_table_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n')
    source = FileSource({"train": str(path)}, {"text": "text"}, {})
    first = Encoding("mine", source, text_processor(), {})(source.load()["train"], "train")
    monkeypatch.setattr(Encoding, "_encode", lambda *args, **kwargs: pytest.fail("encoded again"))
    again = Encoding("mine", source, text_processor(), {})(source.load()["train"], "train")
    assert again.to_list() == first.to_list()
