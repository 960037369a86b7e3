"""Spans of words as raw labels: the tags that they are, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_lightning.data import FileSource
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.labels import understood_labels
from mtl_lightning.decoding.spans import spans_of
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels.spans import Ends
from mtl_lightning.tasks import IGNORE, TokenClassification

LABELS = ["O", "B-a", "I-a", "B-b", "I-b"]


def spans_task(ends: Ends = "exclusive", **arguments: Any) -> TokenClassification:
    return TokenClassification("bio", spans=ends, **arguments)


def tags(task: TokenClassification, value: Any, number: int) -> list[str | None]:
    found = task.fit(task.encode(value), {"num_words": number, "word_starts": range(number)})
    return [None if tag == IGNORE else task.labels[tag] for tag in found]


@st.composite
def tagged(draw: st.DrawFn) -> list[str]:
    """Regular tags."""
    found, last = [], "O"
    for _ in range(draw(st.integers(1, 8))):
        inside = [] if last == "O" else [f"I-{last[2:]}"]
        found.append(last := draw(st.sampled_from(["O", "B-a", "B-b", *inside])))
    return found


@settings(deadline=None, max_examples=100)
@given(tagged(), st.sampled_from(["exclusive", "inclusive"]), st.sampled_from(["label", "type", None]), st.randoms())
def test_spans_of_tags_give_the_tags_back(wanted: list[str], ends: Ends, key: str | None, draw: Any) -> None:
    spans = [(s["start"], s["end"] - (ends == "inclusive"), s["label"]) for s in spans_of(wanted, [1.0] * len(wanted))]
    draw.shuffle(spans)
    value = [list(span) if key is None else dict(zip(("start", "end", key), span, strict=True)) for span in spans]
    for given_as in (value, json.dumps(value)):
        assert tags(spans_task(ends, labels=LABELS), given_as, len(wanted)) == wanted


def test_no_span_and_no_label_are_different() -> None:
    task = spans_task(labels=LABELS)
    assert tags(task, [], 3) == ["O"] * 3
    assert tags(task, None, 3) == [None] * 3
    assert tags(task, [{"start": 1, "end": 3, "label": None}], 4) == ["O", None, None, "O"]


def test_labels_come_from_the_types_of_spans() -> None:
    task = spans_task("inclusive", missing="?")
    task.adapt([[{"start": 0, "end": 0, "type": "y"}], None, [], [{"start": 2, "end": 3, "type": "x"}, [7, 7, "?"]]])
    assert task.labels == ["O", "B-x", "I-x", "B-y", "I-y"]


def test_a_label_map_renames_spans() -> None:
    task = spans_task(labels=LABELS)
    renamed = task.relabel([[0, 2, "city"], [3, 4, "date"]], {"city": "a", "date": "O"}.__getitem__)
    assert tags(task, renamed, 5) == ["B-a", "I-a", "O", "O", "O"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[0, 3, "a"], [2, 4, "b"]], r"the spans 'a' \(words 1 to 3\) and 'b' \(words 3 to 4\) overlap.* keep one"),
        ([[1, 2, "a"], [1, 2, "a"]], r"the spans 'a' \(word 2\) and 'a' \(word 2\) overlap"),
        ([[2, 2, "a"]], "span 1: it starts at 2 and ends at 2, so it has no words; .* set `spans: inclusive`"),
        ([[0, 1, "a"], [3, 1, "a"]], "span 2: it starts at 3 and ends at 1, so it has no words$"),
        ([[-1, 1, "a"]], "span 1: `start` must be at least 0, found -1"),
        ([[1, 2, "a"], [3, 10**15, "a"]], "span 2: `end` must be the position of a word, found 10+"),
        ([[1, 10**400, "a"]], "span 1: `end` must be the position of a word, found 10+"),
        ([[0, 1.5, "a"]], "span 1: expected the position of a word as `end`, found 1.5"),
        ([{"start": 0, "label": "a"}], "span 1: expected the position of a word as `end`, found None"),
        ([[1, 2]], r"span 1: expected `start`, `end` and `label` \(or `type`\), found \[1, 2\]"),
        ("a city", "expected a list of tags, one a word, found 'a city'"),
        ([[1, 2, "c"]], "word 2: label 'B-c' is not among the task's 5 labels"),
        ([[1, 2, {"x": 1}]], "expected the name of a label"),
    ],
    ids=lambda value: "" if isinstance(value, str) and len(value) > 9 else None,
)
def test_what_is_no_span_is_refused(value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        spans_task(labels=LABELS).encode(value)


def test_another_data_set_may_give_tags() -> None:
    task = spans_task(labels=LABELS)
    assert tags(task, ["O", "B-a", None], 3) == ["O", "B-a", None]
    with pytest.raises(UserError, match="2 tags for 3 words"):
        tags(task, ["O", "B-a"], 3)


def test_spans_that_are_not_expected_are_named() -> None:
    with pytest.raises(UserError, match=r"word 1: expected a tag, found .* spans, set `spans: exclusive`"):
        TokenClassification("bio", LABELS).encode([{"start": 0, "end": 1, "label": "a"}])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheme": "tags", "spans": "exclusive"}, "`spans` needs `scheme: bio`"),
        ({"scheme": "bio", "spans": "inclusive", "class_weights": "balanced"}, "give a weight for `O`"),
    ],
)
def test_settings_that_do_not_go_together(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TokenClassification(**arguments)


def encoded(folder: Path, last: list[Any], **arguments: Any) -> list[list[int]]:
    """The targets of two good rows and a last one, from a file."""
    rows = [[{"start": 0, "end": 1, "type": "a"}, {"start": 3, "end": 3, "type": "b"}], [], last]
    lines = [json.dumps({"words": ["Ada", "B.", "of", "Paris"], "entities": entities}) + "\n" for entities in rows]
    (folder / "data.jsonl").write_text("".join(lines))
    source = FileSource({"train": str(folder / "data.jsonl")}, {"tokens": "words"}, {"ner": "entities"}, **arguments)
    task, table = spans_task("inclusive"), source.load()["train"]
    encoding = Encoding("mine", source, TextProcessor(character_tokenizer("ascii"), 8), {"ner": task})
    task.adapt(understood_labels(encoding, table, "train", "ner"))
    return [list(row) for row in encoding(table, "train")["targets/ner"]]


def test_spans_of_a_file_become_tags_of_the_words_that_fit(tmp_path: Path) -> None:
    found = encoded(tmp_path, [{"start": 3, "end": 3, "type": "a"}])
    assert found == [[1, 2, 0, 3][: len(found[0])], [0, 0, 0, 0][: len(found[0])], [0, 0, 0, 1][: len(found[0])]]
    assert 0 < len(found[0]) < 4  # the encoder cut some words off


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (
            [{"start": 1, "end": 2, "type": "a"}, {"start": 2, "end": 3, "type": "b"}],
            "'a' .words 2 to 3. and 'b' .* over",
        ),
        ([{"start": 3, "end": 4, "type": "a"}], "a span ends at word 5, but there are 4 words"),
    ],
    ids=["overlapping", "too-long"],
)
def test_a_bad_span_is_named_with_its_file_and_line_or_skipped(tmp_path: Path, last: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=f"data.jsonl, line 3, column 'entities'.*{message}.*on_bad_row: skip"):
        encoded(tmp_path, last)
    assert len(encoded(tmp_path, last, on_bad_row="skip")) == 2
