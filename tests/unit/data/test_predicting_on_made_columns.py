"""Columns that a configuration makes need not be in a table to predict on; a checkpoint and an export make them."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from mtl_lightning.data import FileSource
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.prediction import read_inputs
from mtl_lightning.errors import UserError
from mtl_lightning.export.readings import sources_of
from mtl_lightning.exported.description import Reading
from mtl_lightning.exported.rows import read

INPUTS: dict[str, str | list[str]] = {"sound": "file", "sound_start": "start"}
OPTIONS: dict[str, Any] = {
    "templates": {"folder": "{year}", "file": "{folder}/{who}.flac"},
    "constants": {"year": 1999, "start": 7, "label": "x"},
}


def speech(**options: Any) -> FileSource:
    return FileSource({"train": "none.csv"}, INPUTS, {"digit": "label"}, **{**OPTIONS, **options})


def by_checkpoint(path: str, datasets: dict[str, DataSource]) -> dict[str, list[Any]]:
    source, table = read_inputs(path, datasets)
    assert source.inputs == INPUTS
    return {name: table[name][:] for name in ("file", "start")}


def by_export(path: str, datasets: dict[str, DataSource]) -> dict[str, list[Any]]:
    readings = [
        Reading(s.columns, s.form, "a.onnx", {}, constants=s.made.constants, templates=s.made.templates)
        for s in sources_of(datasets)
    ]
    file = read(path, readings)
    assert file.inputs == INPUTS
    rows = [row.values for row in file.rows]
    assert all(set(row) == set(file.columns) for row in rows)
    return {name: [row[name] for row in rows] for name in ("file", "start")}


EITHER = pytest.mark.parametrize("reader", [by_checkpoint, by_export])


@EITHER
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("who\nann\nbob\n", {"file": ["1999/ann.flac", "1999/bob.flac"], "start": [7, 7]}),
        ("who,year\nann,2000\n", {"file": ["2000/ann.flac"], "start": [7]}),
        ("who,start\nann,5\n", {"file": ["1999/ann.flac"], "start": ["5"]}),
        ("file\nhere.wav\n", {"file": ["here.wav"], "start": [7]}),
        ("folder,who,label\nthere,ann,x\n", {"file": ["there/ann.flac"], "start": [7]}),
    ],
    ids=["made", "constant given", "input given", "template given", "part given"],
)
def test_what_is_not_there_is_made(reader: Any, content: str, expected: dict[str, list[Any]], tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(content)
    assert reader(str(tmp_path / "new.csv"), {"speech": speech()}) == expected


@EITHER
def test_a_damaged_row_is_one(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "new.jsonl").write_text('{"who": "ann"}\n{bad\n{"who": null}\n')
    assert reader(str(tmp_path / "new.jsonl"), {"speech": speech()})["file"] == ["1999/ann.flac", None, None]


@EITHER
def test_columns_that_cannot_be_made_are_named(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("whom\nann\n")
    with pytest.raises(UserError, match=r"has the columns whom; the model reads file \(or folder, who\), start$"):
        reader(str(tmp_path / "new.csv"), {"speech": speech()})


@EITHER
def test_constants_in_which_data_sets_differ_must_be_given(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("who\nann\n")
    datasets = {"old": speech(), "new": speech(constants={"year": 2001, "start": 7})}
    with pytest.raises(
        UserError, match=r"new\.csv has no column 'year', which the data sets say is 1999 and 2001; add"
    ):
        reader(str(tmp_path / "new.csv"), datasets)
    (tmp_path / "new.csv").write_text("who,year\nann,5\n")
    assert reader(str(tmp_path / "new.csv"), datasets)["file"] == ["5/ann.flac"]


@EITHER
def test_lines_on_standard_input_are_no_recordings(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n"))
    message = r"--input: standard input is read as lines of text, and the model reads sound, sound_start; name a table "
    with pytest.raises(UserError, match=message + r"with the columns file \(or folder, who\), start, say `--input new"):
        reader("-", {"speech": speech()})
