"""A row without end is refused with its file and line, before it takes the machine's memory."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mtl_lightning.data import FileSource
from mtl_lightning.data.readers import parquet
from mtl_lightning.errors import UserError
from mtl_lightning.rows import conll, delimited, json_lines, lines

LONG = "x" * 150


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (conll, delimited, json_lines, lines, parquet):
        monkeypatch.setattr(module, "LONGEST", 100)
    monkeypatch.setattr(lines.read_lines, "__defaults__", (None, 100))


def _write(text: str) -> Callable[[Path], Any]:
    return lambda path: path.write_text(text)


@pytest.mark.parametrize(
    ("name", "write", "options", "message"),
    [
        ("a.jsonl", _write(f'{{"t": "a"}}\n{{"t": "{LONG}"}}\n'), {}, "line 2: the row has more than 100 characters"),
        ("a.json", _write(json.dumps([{"t": "a"}, {"t": LONG}])), {}, "line 1: the row has more than 100 characters"),
        ("a.csv", _write(f"t\na\n{LONG}\n"), {}, "line 3: the row has more than 100 characters"),
        ("a.csv", _write('t\na\n"' + "b\n" * 80), {}, "line 3: the row has more than 100 .*; is a quote not closed"),
        ("a.tsv", _write(f"t\na\n{LONG}\n"), {}, "line 3: the row has more than 100 characters"),
        (
            "a.conll",
            _write("a O\n\n" + "b O\n" * 40),
            {"columns": ["t", "y"]},
            "line 3: the row .* apart by empty lines",
        ),
        (
            "a.parquet",
            lambda path: pd.DataFrame({"t": ["a", LONG]}).to_parquet(path),
            {},
            "row 2: .* more than 100 bytes",
        ),
        (
            "a.jsonl.gz",
            lambda path: path.write_bytes(gzip.compress(f'{{"t": "{LONG}"}}'.encode())),
            {},
            "line 1: the row",
        ),
    ],
    ids=["jsonl", "json", "csv", "quote", "tsv", "conll", "parquet", "gz"],
)
def test_it_is_refused(
    tmp_path: Path, name: str, write: Callable[[Path], Any], options: dict[str, Any], message: str
) -> None:
    write(tmp_path / name)
    source = FileSource({"train": str(tmp_path / name)}, {"text": "t"}, {"y": "t"}, **options)
    with pytest.raises(UserError, match=rf"{name}, {message}"):
        source.load()


def test_rows_are_counted_not_files(tmp_path: Path) -> None:
    rows = [{"t": f"{i:40}"} for i in range(20)]
    (tmp_path / "one-line.json").write_text(json.dumps(rows))
    (tmp_path / "a.csv").write_text("t\n" + "".join(f'"{row["t"]}\n"\n' for row in rows))
    for name in ("one-line.json", "a.csv"):
        assert len(FileSource({"train": str(tmp_path / name)}, {"text": "t"}, {"y": "t"}).load()["train"]) == 20
