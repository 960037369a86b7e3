"""Files of inputs as an exported model reads them: each line or row, and which column is which input."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mtl_lightning.errors import UserError, shown
from mtl_lightning.exported.description import Reading
from mtl_lightning.rows.bad_lines import BadLine
from mtl_lightning.rows.columns import Inputs, pairs_of
from mtl_lightning.rows.files import PARQUET, format_of, read_rows
from mtl_lightning.rows.lines import Example
from mtl_lightning.rows.text_format import CONLL, CONLLU
from mtl_lightning.rows.texts import OF_LINES, TEXT, read_texts


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        values: By column; of a line of a text, ``text``.
        reason: Why it cannot be predicted on; null: it may be.
    """

    values: dict[str, Any]
    reason: str | None = None


def read(path: str, readings: Sequence[Reading]) -> tuple[list[Row], Inputs]:
    """The rows of a file, all with the same columns, and which column is which input.

    Args:
        path: Of a table, or of texts, one a line; ``-`` is standard input.
        readings: The ways in which the model reads inputs; a table is read in the first whose columns it has.

    Raises:
        UserError: If the file cannot be read, holds nothing, or not what the model reads.
    """
    if path != "-" and not Path(path).is_file():
        raise UserError(f"--input: no file {path}")
    kind = None if path == "-" else format_of(path)
    if kind == PARQUET:
        raise UserError(f"--input: {path} is Parquet, which `predict --ckpt_path` reads; give JSON Lines or CSV")
    if kind in (CONLL, CONLLU):
        raise UserError(f"--input: {path} holds CoNLL columns; give texts, one a line, or JSON Lines")
    return _texts(path, readings) if kind is None else _table(path, kind, readings)


def _texts(path: str, readings: Sequence[Reading]) -> tuple[list[Row], Inputs]:
    names = [name for name in OF_LINES if any(set(reading.columns) == {name} for reading in readings)]
    if not names:
        known = " or ".join(dict.fromkeys(", ".join(reading.columns) for reading in readings))
        raise UserError(f"--input: the model reads {known}, not lines of text; give a table")
    if not (rows := [_row(row, [TEXT]) for row in read_texts(path)]):
        raise UserError(f"--input: {'standard input' if path == '-' else path} holds no text")
    return rows, {names[0]: TEXT}


def _table(path: str, kind: str, readings: Sequence[Reading]) -> tuple[list[Row], Inputs]:
    columns: list[str] = []
    for reading in readings:
        wanted = [column for _, column in pairs_of(reading.columns)]
        nested = tuple(column for column in wanted if "." in column)
        rows = list(read_rows(path, kind, replace(reading.form, keep_blank=True, nested=nested)))
        columns = list(dict.fromkeys(name for row in rows if isinstance(row, Example) for name in row.values))
        if not columns:
            raise UserError(f"--input: {path} holds no examples")
        if set(wanted) <= set(columns):
            return [_row(row, columns) for row in rows], reading.columns
    known = " or ".join(", ".join(column for _, column in pairs_of(reading.columns)) for reading in readings)
    raise UserError(f"{path} has the columns {shown(', '.join(columns), 400)[1:-1]}; the model reads {known}")


def _row(found: Example | BadLine, columns: Sequence[str]) -> Row:
    if isinstance(found, BadLine):
        return Row(dict.fromkeys(columns), found.reason)
    return Row({name: found.values.get(name) for name in columns})
