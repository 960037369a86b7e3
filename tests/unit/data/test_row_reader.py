"""Rows are read by the addresses of their numbers as they are through Arrow, whatever pieces a table consists of."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, List, Value, concatenate_datasets

from mtl_lightning.data.collation import StepDataset
from mtl_lightning.data.columns import read_rows
from mtl_lightning.data.row_reader import RowReader

KINDS = {
    "n": "int64",
    "small": "int8",
    "half": "float16",
    "x": "float64",
    "flag": "bool",
    "gap": "int64",
    "word": "string",
}
FEATURES = Features(
    {
        **{name: Value(kind) for name, kind in KINDS.items()},
        "pair": List(Value("float32")),
        "ragged": List(Value("int32")),
    }
)
BY_ADDRESS = {"n", "small", "half", "x", "pair"}


def rows(number: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "n": i,
            "small": i % 100,
            "half": i / 4,
            "x": i / 3,
            "flag": i % 3 == 0,
            "gap": None if i == first else i,
            "word": str(i),
            "pair": [i, -i],
            "ragged": [i] * (i % 3),
        }
        for i in range(first, first + number)
    ]


def on_disk(folder: Path, name: str, found: list[dict[str, Any]]) -> Dataset:
    table = Dataset.from_list(found, features=FEATURES)
    path = str(folder / f"{name}.arrow")
    table.map(lambda row: row, writer_batch_size=3, cache_file_name=path)
    return Dataset.from_file(path)


@pytest.fixture(params=["memory", "files", "selected"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    if request.param == "memory":
        return Dataset.from_list(rows(20), features=FEATURES)
    joined = concatenate_datasets([on_disk(tmp_path, "a", rows(7)), on_disk(tmp_path, "b", rows(13, 7))])
    return joined if request.param == "files" else joined.select([*range(19, -1, -1)]).select([*range(19, -1, -1)])


@pytest.mark.parametrize("asked", [[0], [19, 0, 7, 7, 6], list(range(20)), []])
def test_both_read_the_same(table: Dataset, asked: list[int]) -> None:
    table = table.with_format("arrow")
    names = [name for name in table.column_names if asked or name in BY_ADDRESS]  # Arrow has no type for nothing
    found = RowReader(table, names)(asked)
    assert list(found) == names
    for name in names:
        expected = read_rows(table, asked)[name] if asked else np.empty(0)
        assert len(found[name]) == len(asked)
        if name == "ragged" and asked:
            assert [list(each) for each in found[name]] == [list(each) for each in expected]
        elif asked:
            np.testing.assert_array_equal(found[name], expected)
            assert name not in BY_ADDRESS or found[name].dtype == expected.dtype


def test_numbers_are_read_by_their_addresses(table: Dataset) -> None:
    expected = set() if table._indices is not None else BY_ADDRESS
    reader = RowReader(table.with_format("arrow"), table.column_names)
    assert set(reader._numbers) == expected
    assert all(reader([0])[name].flags.writeable for name in expected)  # torch warns of memory that is not


def test_a_row_that_is_not_there_is_refused(table: Dataset) -> None:
    reader = RowReader(table.with_format("arrow"), ["n"])
    for row in (20, -21):
        with pytest.raises(IndexError):
            reader([row])


def test_addresses_do_not_travel_to_other_processes() -> None:
    found = StepDataset({"d": Dataset.from_dict({"row": [1], "length": [1]})}, None, {})  # type: ignore[arg-type]
    assert found._reader("d", beside=False)([0])["row"].tolist() == [1]
    assert pickle.loads(pickle.dumps(found))._readers == {}
