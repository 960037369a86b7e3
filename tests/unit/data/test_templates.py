"""Columns that are made of others."""

from pathlib import Path

import pytest
from datasets import Dataset, IterableDataset

from mtl_lightning.data import FileSource
from mtl_lightning.data.readers.templates import with_templates
from mtl_lightning.errors import UserError


def test_names_in_braces_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who,n\nann,1\nbob,2\n")
    source = FileSource(
        {"train": "a.csv"}, {"text": "file"}, {}, str(tmp_path), templates={"file": "{who}/{n}_{who}.wav"}
    )
    table = source.load()["train"]
    assert table["file"][:] == ["ann/1_ann.wav", "bob/2_bob.wav"]
    assert source.where(table, "train", 1).endswith("a.csv, line 3")


def test_what_is_made_of_a_missing_value_is_missing() -> None:
    table = Dataset.from_dict({"who": ["ann", None]})
    assert with_templates(table, {"file": "{who}.wav"}, "a.csv")["file"][:] == ["ann.wav", None]


def test_streams_have_them_too() -> None:
    stream = IterableDataset.from_generator(lambda: iter([{"who": "ann"}]))
    assert list(with_templates(stream, {"file": "{who}.wav", "kind": "x"}, "a.csv")) == [
        {"who": "ann", "file": "ann.wav", "kind": "x"}
    ]


def test_a_stream_without_the_column_is_named() -> None:
    stream = IterableDataset.from_generator(lambda: iter([{"whom": "ann"}]))
    with pytest.raises(UserError, match=r"`templates.file`: a\.csv has no column 'who'; did you mean 'whom'"):
        list(with_templates(stream, {"file": "{who}.wav"}, "a.csv"))


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ({"file": "{whom}.wav"}, "`templates.file`: a.csv has no column 'whom'; did you mean 'who'"),
        ({"who": "{who}.wav"}, "has a column 'who' already"),
        ({"file": "{who"}, "name columns in braces"),
        ({"file": "{who.name}"}, "holds more than names in braces"),
        ({"file": "{}"}, "holds more than names in braces"),
    ],
)
def test_what_cannot_be_is_refused(templates: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_templates(Dataset.from_dict({"who": ["ann"]}), templates, "a.csv")
