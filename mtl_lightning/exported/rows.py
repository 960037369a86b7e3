"""Files of inputs as an exported model reads them: each line or row with its values, or why it is none."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from mtl_lightning.errors import UserError, shown
from mtl_lightning.exported.description import Columns, Reading
from mtl_lightning.rows.bad_lines import BadLine
from mtl_lightning.rows.delimited import read_delimited
from mtl_lightning.rows.json_lines import read_json
from mtl_lightning.rows.lines import bounded, flaw, read_lines
from mtl_lightning.rows.text_format import CSV, TSV, TextFormat

_OF_LINES = ("tokens", "text")
"""Inputs that a line of a text may be, in this order."""

_TABLES = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": CSV, ".tsv": TSV}


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        values: By column; of a line of a text, ``text``.
        reason: Why it cannot be predicted on; null: it may be.
    """

    values: dict[str, Any]
    reason: str | None = None


def read(path: str, readings: Sequence[Reading]) -> tuple[list[Row], Columns]:
    """The rows of a file, and which column is which input.

    Args:
        path: Of a table, or of texts, one a line; ``-`` is standard input.
        readings: The ways in which the model reads inputs; a table is read in the first whose columns it has.

    Raises:
        UserError: If the file cannot be read, holds nothing, or not what the model reads.
    """
    if path != "-" and not Path(path).is_file():
        raise UserError(f"--input: no file {path}")
    ending = next((s for s in reversed(Path(path).suffixes) if s != ".gz"), "")
    if path != "-" and ending == ".parquet":
        raise UserError(f"--input: {path} is Parquet, which the checkpoint reads; give JSON Lines or CSV")
    if path != "-" and ending in _TABLES:
        return _table(path, _TABLES[ending], readings)
    names = [name for name in _OF_LINES if any(set(reading.columns) == {name} for reading in readings)]
    if not names:
        known = " or ".join(dict.fromkeys(", ".join(reading.columns) for reading in readings))
        raise UserError(f"--input: the model reads {known}, not lines of text; give a table")
    if not (rows := list(_texts(path))):
        raise UserError(f"--input: {'standard input' if path == '-' else path} holds no text")
    return rows, {names[0]: "text"}


def _texts(path: str) -> Iterator[Row]:
    for line in _standard_input() if path == "-" else read_lines(path):
        if reason := flaw(line, remedy="save the file as UTF-8"):
            yield Row({"text": None}, f"{reason}: {shown(line.strip())}")
        else:
            yield Row({"text": line.rstrip("\r\n")})


def _standard_input() -> Iterator[str]:
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape", newline="")
    yield from bounded(sys.stdin, "standard input")


def _table(path: str, kind: str, readings: Sequence[Reading]) -> tuple[list[Row], Columns]:
    form = replace(TextFormat(), keep_blank=True)
    found = list(read_json(path, form, arrays=True) if kind == "json" else read_delimited(path, form, kind))
    names = list(dict.fromkeys(name for row in found if not isinstance(row, BadLine) for name in row.values))
    if not names:
        raise UserError(f"--input: {path} holds no examples")
    rows = [
        Row(dict.fromkeys(names), row.reason)
        if isinstance(row, BadLine)
        else Row({name: row.values.get(name) for name in names})
        for row in found
    ]
    for reading in readings:
        if set(_listed(reading.columns)) <= set(names):
            return rows, reading.columns
    wanted = " or ".join(", ".join(_listed(reading.columns)) for reading in readings)
    raise UserError(f"{path} has the columns {shown(', '.join(names), 400)[1:-1]}; the model reads {wanted}")


def _listed(columns: Columns) -> list[str]:
    return [name for of in columns.values() for name in ([of] if isinstance(of, str) else of)]
