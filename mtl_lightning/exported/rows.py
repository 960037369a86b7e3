"""Files of inputs as an exported model reads them: one row after the other, and which column is which input."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from mtl_lightning.errors import UserError, shown
from mtl_lightning.exported.description import Reading
from mtl_lightning.rows.bad_lines import BadLine
from mtl_lightning.rows.columns import Inputs, pairs_of
from mtl_lightning.rows.files import PARQUET, format_of, read_rows
from mtl_lightning.rows.lines import Example, check_names, check_number
from mtl_lightning.rows.lines import Rows as RawRows
from mtl_lightning.rows.made_columns import MadeColumns, check_agreement
from mtl_lightning.rows.text_format import CONLL, CONLLU, TextFormat
from mtl_lightning.rows.texts import OF_LINES, TEXT, no_lines, read_texts


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        line: Of the file, at which it begins.
        values: By column; of a line of a text, ``text``.
        reason: Why it cannot be predicted on; null: it may be.
    """

    line: int
    values: dict[str, Any]
    reason: str | None = None


class InputFile(NamedTuple):
    """What a file holds.

    Attributes:
        origin: Where it comes from, for messages.
        inputs: Which column, or columns, are which input.
        columns: Those of every row.
        rows: As they are read; none is kept.
    """

    origin: str
    inputs: Inputs
    columns: Sequence[str]
    rows: Iterator[Row]


def read(path: str, readings: Sequence[Reading]) -> InputFile:
    """Opens a file of inputs. A table is gone through once before, to know its columns.

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


def _texts(path: str, readings: Sequence[Reading]) -> InputFile:
    names = [name for name in OF_LINES if any(set(reading.columns) == {name} for reading in readings)]
    if not names:
        known = ", ".join(sorted({name for reading in readings for name in reading.columns}))
        raise UserError(no_lines(path, known, _columns_read(readings)))
    origin, rows = "standard input" if path == "-" else path, read_texts(path)
    if (first := next(rows, None)) is None:
        raise UserError(f"--input: {origin} holds no text")
    return InputFile(origin, {names[0]: TEXT}, [TEXT], (_row(row, [TEXT]) for row in chain([first], rows)))


def _table(path: str, kind: str, readings: Sequence[Reading]) -> InputFile:
    columns: list[str] = []
    for number, reading in enumerate(readings):
        wanted = [column for _, column in pairs_of(reading.columns)]
        form = replace(reading.form, keep_blank=True, nested=tuple(column for column in wanted if "." in column))
        try:
            columns = _columns(path, read_rows(path, kind, form))
        except UserError as error:
            raise UserError(f"--input: {error}") from error
        if reading.made.missing(wanted, columns):
            continue
        made = reading.made.needed(wanted, columns)
        alike = [other.made for other in readings[number + 1 :] if other.columns == reading.columns]
        check_agreement(path, made, alike)
        return InputFile(path, reading.columns, [*columns, *made.names], _rows(path, kind, form, columns, made))
    found = shown(", ".join(columns), 400)[1:-1]
    raise UserError(f"{path} has the columns {found}; the model reads {_columns_read(readings)}")


def _columns_read(readings: Sequence[Reading]) -> str:
    """The columns of which a table needs some, as messages list them."""
    ways = [(reading.made, [column for _, column in pairs_of(reading.columns)]) for reading in readings]
    return " or ".join(dict.fromkeys(made.called(columns) for made, columns in ways))


def _columns(path: str, rows: RawRows) -> list[str]:
    """The columns that any row has."""
    names: dict[str, None] = {}
    bad: BadLine | None = None
    for row in rows:
        if isinstance(row, Example):
            names.update(dict.fromkeys(row.values))
        else:
            bad = bad or row
        check_number(path, row.line, names)
    if not names:
        raise UserError(
            f"{path} holds no examples"
            if bad is None
            else f"{path}, line {bad.line}: {bad.reason}: {shown(bad.text.rstrip())}; no row is good"
        )
    check_names(path, list(names))
    return list(names)


def _rows(path: str, kind: str, form: TextFormat, columns: Collection[str], made: MadeColumns) -> Iterator[Row]:
    for row in (_row(each, columns) for each in read_rows(path, kind, form)):
        yield row._replace(values=made.filled(row.values))


def _row(found: Example | BadLine, columns: Collection[str]) -> Row:
    if isinstance(found, BadLine):
        return Row(found.line, dict.fromkeys(columns), found.reason)
    return Row(found.line, {name: found.values.get(name) for name in columns})


def in_order_of(readings: Sequence[Reading], tasks: Sequence[str] | None) -> list[Reading]:
    """The ways to read inputs, of which the first is taken whose columns a file has: those of data that labels the
    tasks asked for come first, in the order of these.
    """
    asked = tasks or ()

    def place(reading: Reading) -> int:
        return next((number for number, task in enumerate(asked) if task in reading.labels), len(asked))

    return sorted(readings, key=place)


def batched(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Rows by and by, some at once."""
    while taken := list(islice(rows, size)):
        yield taken
