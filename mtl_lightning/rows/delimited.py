"""Reads CSV and TSV: every value is the text that stands in the file."""

import csv
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mtl_lightning.errors import UserError, shown
from mtl_lightning.rows.bad_lines import BLANK, BadLine
from mtl_lightning.rows.hints import hint_of_delimiter
from mtl_lightning.rows.lines import LONGEST, Example, Rows, check_names, flaw, read_lines, too_long
from mtl_lightning.rows.text_format import TextFormat


class _Record(NamedTuple):
    """A row as it stands in the file, from its first physical line on; ``reason`` says why it is none."""

    line: int
    text: str
    values: list[str]
    reason: str | None


def read_delimited(path: str, form: TextFormat, kind: str) -> Rows:
    """Yields the rows of a file.

    An empty line is passed over. But where quotes mean nothing and there is a single column, so that an empty value
    cannot be written as ``""``, it is a row, unless nothing but empty lines follows.

    Unlike pandas it guesses no types, knows no words that mean "missing", and takes no column for an index.

    Args:
        path: A text file, plain or gzipped.
        form: Its delimiter, quotes, header and encoding.
        kind: ``csv`` or ``tsv``, which decides what ``form`` leaves open.

    Raises:
        UserError: If the file cannot be read, or its header is none.
    """
    records = _records(path, read_lines(path, form.encoding), form, kind)
    header = _header(path, records) if form.header else list(form.columns)
    if len(header) == 1 and "\t" in header[0]:
        raise UserError(f"{path}: {hint_of_delimiter(header[0])}")
    check_names(path, header)
    empty: list[int] = []
    for line, text, values, reason in records:
        if not values and reason is None:
            if form.keep_blank:
                yield BadLine(line, BLANK, "")
            elif len(header) == 1 and not form.quotes_of(kind):
                empty.append(line)
            continue
        yield from (Example(number, {header[0]: ""}) for number in empty)
        empty.clear()
        if reason is None and len(values) != len(header):
            reason = _miscounted(header, values)
        if reason is not None:
            yield BadLine(line, reason, text)
            continue
        yield Example(line, dict(zip(header, form.with_points(values), strict=True)))


def _header(path: str, records: Iterator[_Record]) -> list[str]:
    header = next((record for record in records if record.values or record.reason), None)
    if header is None:
        return []
    if header.reason is not None:
        raise UserError(f"{path}, line {header.line}, the header: {header.reason}")
    return header.values


def _miscounted(header: list[str], values: list[str]) -> str:
    names = shown(", ".join(header))[1:-1]
    hint = hint_of_delimiter(header[0]) if len(header) == 1 else None
    return f"expected {len(header)} values ({names}), found {len(values)}" + (f"; {hint}" if hint else "")


def _records(path: str, lines: Iterator[str], form: TextFormat, kind: str) -> Iterator[_Record]:
    """The rows; one that is an empty line has no values."""
    csv.field_size_limit(LONGEST)  # a text may be longer than the 128 KiB that are the default
    read: list[str] = []
    reader = csv.reader(
        _remember(path, lines, read),
        delimiter=form.delimiter_of(kind),
        quoting=csv.QUOTE_MINIMAL if form.quotes_of(kind) else csv.QUOTE_NONE,
        strict=True,
    )
    number = 1
    while True:
        values, reason = [], None
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = "a quote is not closed" if "end of data" in str(error) else str(error)
            reason += "; if quotes mean nothing in this file, set `quotes: false`"
        text = "".join(read)
        yield _Record(number, text, values, flaw(text, form.encoding) or reason)
        number += len(read)
        read.clear()


def _remember(path: str, lines: Iterable[str], read: list[str]) -> Iterator[str]:
    """Appends lines to those of the row that is read, which somebody empties after each row."""
    size = 0
    for number, line in enumerate(lines, 1):
        size = size + len(line) if read else len(line)
        read.append(line)
        if size > LONGEST:
            raise too_long(path, number - len(read) + 1, "is a quote not closed?")
        yield line
