"""Examples of several sequences: choices beside a question, and texts apart, in any number."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtl_lightning.data.columns import read_rows
from mtl_lightning.data.examples import ExampleEncoder
from mtl_lightning.data.sources.files import FileSource
from mtl_lightning.data.streams.passes import _array
from mtl_lightning.encoders import PerceptronEncoder, TensorProcessor, TextProcessor, character_tokenizer
from mtl_lightning.encoders.shown import Tokens
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.several import flat, nested
from mtl_lightning.tasks import IGNORE, MultipleChoice, Ranking
from mtl_lightning.training.module import MultiTaskModule

PROCESSOR = TextProcessor(character_tokenizer("ascii"), 12)


def encoded(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    found = PROCESSOR.encode(columns)
    return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]


def read(inputs: Mapping[str, Tensor]) -> list[list[str]]:
    """The texts that the tokens of each example's sequences are, with [SEP] as ``|``."""
    tokenizer = PROCESSOR.tokenizer
    texts = [
        "".join(tokenizer.convert_ids_to_tokens(ids[mask > 0].tolist())).replace("[CLS]", "").replace("[SEP]", "|")
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    ]
    return [[texts[i] for i in row if i >= 0] for row in inputs["sequences"].tolist()]


def test_each_choice_stands_behind_the_question() -> None:
    inputs = PROCESSOR.collate(encoded({"text": ["a?", "b?"], "choices": [["x", "yy", "z"], ["no"]]}))
    assert read(inputs) == [["a?|x|", "a?|yy|", "a?|z|"], ["b?|no|"]]
    assert inputs["sequences"].tolist() == [[0, 1, 2], [3, -1, -1]] and inputs["choices"].tolist() == [3, 1]


@pytest.mark.parametrize("name", ["choices", "texts"])
def test_texts_alone_stand_apart(name: str) -> None:
    assert read(PROCESSOR.collate(encoded({name: [["x", "yy"], ["z"]]}))) == [["x|", "yy|"], ["z|"]]


def test_columns_at_the_end_may_be_empty() -> None:
    found = encoded({"choices": [("x", "y", None, " "), ("x", "y", "z", "w")]})
    assert [example["num_sequences"] for example in found] == [2, 4]


def test_what_is_cut_off_and_length_are_those_of_all_sequences() -> None:
    first, second = encoded({"texts": [["x" * 15, "y" * 11], ["z"]]})
    assert (first["lost"], second["lost"]) == (5 + 1, 0)
    assert (PROCESSOR.length(first), PROCESSOR.length(second)) == (24, 3)


def test_what_is_shown_are_the_sequences_of_an_example() -> None:
    columns = {"text": ["a?", "b?"], "choices": [["x"], ["y" * 8, "z" * 10]]}
    _, second = PROCESSOR.shown(PROCESSOR.collate(encoded(columns)), 1)
    assert isinstance(second, Tokens) and [p.text for p in second.pieces[:4]] == ["[CLS]", "b", "?", "[SEP]"]
    assert PROCESSOR.cut_off({name: values[1] for name, values in columns.items()}) == "y … zzz"


def test_packed_rows_name_the_example_of_each_sequence() -> None:
    packing = TextProcessor(character_tokenizer("ascii"), 12, packing=12)
    inputs = packing.collate(encoded({"texts": [["aaaaaa", "b"], ["c"], ["dd", "e"]]}))
    rows = [row.sequences for row in packing.packed_rows(inputs)]
    assert sorted(number for row in rows for number in row) == [0, 0, 1, 2, 2]
    assert any(len(row) > 1 for row in rows)


@pytest.mark.parametrize(
    ("columns", "message", "part"),
    [
        ({"choices": ["x y"]}, "input 'choices': expected a list of texts, found 'x y'; give one, or name the", None),
        ({"texts": [[]]}, r"input 'texts': expected at least one text, found \[\]", None),
        ({"choices": [["x", " "]]}, "input 'choices', text 2: the text is empty: ' '", None),
        ({"choices": [("x", None, "z")]}, "input 'choices', text 2: expected a text, found None", 1),
        ({"choices": [["x", ("y", "z")]]}, r"text 2: expected a text, found \['y', 'z'\]", None),
        ({"text": [None], "choices": [["x"]]}, "input 'text': expected a text, found None", None),
        (
            {"texts": [["x"]], "choices": [["x"]]},
            "give `tokens` .*; found texts, choices",
            None,
        ),
    ],
)
def test_what_is_no_such_example(columns: dict[str, Any], message: str, part: int | None) -> None:
    with pytest.raises(UserError, match=message) as caught:
        PROCESSOR.encode(columns)
    assert caught.value.part == part


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=4), min_size=1, max_size=4))
def test_sequences_come_back_from_a_table_and_from_a_stream(rows: list[list[str]]) -> None:
    found = PROCESSOR.encode({"texts": rows})
    expected = PROCESSOR.collate(encoded({"texts": rows}))
    assert read(expected) == [[f"{text}|" for text in row] for row in rows]
    tables = [read_rows(Dataset.from_dict(found).with_format("arrow"), [*range(len(rows))])]
    tables.append({name: _array(values) for name, values in found.items()})
    for columns in tables:
        examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        again = PROCESSOR.collate(examples)
        assert again.keys() == expected.keys()
        assert all(torch.equal(again[name], expected[name]) for name in again)
        assert [PROCESSOR.length(example) for example in examples] == [sum(len(t) + 2 for t in row) for row in rows]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(), min_size=1), min_size=1))
def test_flat_undoes_nested(rows: list[list[int]]) -> None:
    encodings = nested({"ids": [[item] for row in rows for item in row]}, [len(row) for row in rows])
    examples = [dict(zip(encodings, values, strict=True)) for values in zip(*encodings.values(), strict=True)]
    parts, of_examples = flat(examples)
    assert [[parts[i]["ids"][0] for i in row if i >= 0] for row in of_examples["sequences"].tolist()] == rows


@pytest.mark.parametrize(
    ("inputs", "label", "columns"),
    [
        ("answers", ["right", "answers"], {"answers": [["x", "y"], ["y", "z"]]}),
        (["a", "b", "c"], ["right", "a", "b", "c"], {"a": ["x", "w"], "b": ["y", "z"], "c": [None, None]}),
    ],
    ids=["list", "columns"],
)
def test_a_label_may_be_the_text_of_a_choice(inputs: Any, label: list[str], columns: dict[str, Any]) -> None:
    source = FileSource({"train": "x.jsonl"}, {"choices": inputs}, {"answer": label})
    encode = ExampleEncoder(source, PROCESSOR, {"answer": MultipleChoice()})
    found = encode({**columns, "right": ["y", None]})
    assert found["targets/answer"] == [1, IGNORE] and found["counts/answer"] == [1, 0]
    with pytest.raises(UserError, match=r"columns 'right', .* \(task 'answer'\): 'q' is none of the 2 choices"):
        encode({**columns, "right": ["x", "q"]})


def test_errors_name_the_column_of_the_choice() -> None:
    source = FileSource({"train": "x.csv"}, {"choices": ["a", "b", "c"]}, {})
    with pytest.raises(UserError, match="column 'b': input 'choices', text 2: expected a text, found None"):
        ExampleEncoder(source, PROCESSOR, {})({"a": ["x"], "b": [None], "c": ["z"]})
    encodings = ExampleEncoder(source, PROCESSOR, {})({"a": ["x"], "b": ["y"], "c": [None]})
    assert encodings["length"] == [6] and encodings["inputs/num_sequences"] == [2]


@pytest.mark.parametrize("ndim", [1, 3])
def test_choices_may_be_vectors_or_images(ndim: int) -> None:
    processor = TensorProcessor("x", ndim)
    arrays = torch.arange(2.0 * 3**ndim).reshape(2, *[3] * ndim).tolist()
    rows = [[arrays[0]], arrays, (arrays[1], None)]
    table = Dataset.from_dict(processor.encode({"choices": rows})).with_format("arrow")
    columns = read_rows(table, range(3))
    examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    inputs = processor.collate(examples)
    assert inputs["x"].tolist() == [arrays[0], *arrays, arrays[1]]
    assert inputs["sequences"].tolist() == [[0, -1], [1, 2], [3, -1]] and inputs["choices"].tolist() == [1, 2, 1]
    assert [processor.length(example) for example in examples] == [1, 2, 1]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"choices": ["1 2"]}, "input 'choices': expected a list of choices, found '1 2'"),
        ({"choices": [[]]}, "input 'choices': expected at least one choice"),
        ({"choices": [[[1.0], ["x"]]]}, "input 'choices' must be numbers"),
        ({"choices": [[[1.0], [1.0, 2.0]]]}, "input 'choices' must have one shape for all examples"),
        ({"x": [[1.0]], "choices": [[[1.0]]]}, "give one of `x`, `choices`; found x, choices"),
    ],
)
def test_what_are_no_choices_of_numbers(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TensorProcessor("x", 1).encode(columns)


def test_candidates_of_numbers_are_ranked() -> None:
    torch.manual_seed(0)
    model = MultiTaskModule(PerceptronEncoder(2, [32]), {"order": Ranking()})
    model.build()
    vectors = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    (whole,) = model.predict({"choices": [vectors]})
    (other,) = model.predict({"choices": [vectors[::-1]]})
    assert [2 - place for place in other["order"]["ranking"]] == whole["order"]["ranking"]
