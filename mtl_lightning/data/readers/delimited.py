"""Reads CSV and TSV: every value is the text that stands in the file."""

import csv
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mtl_lightning.data.readers.bad_rows import BLANK, BadLine
from mtl_lightning.data.readers.lines import Example, Rows, check_names, flaw, read_lines
from mtl_lightning.errors import UserError, shown

_LONGEST = 2**31 - 1


class _Record(NamedTuple):
    """A row as it stands in the file, from its first physical line on; ``reason`` says why it is none."""

    line: int
    text: str
    values: list[str]
    reason: str | None


def read_delimited(path: str, delimiter: str, keep_blank: bool = False) -> Rows:
    """Yields the rows of a file that has a header row.

    An empty line is passed over. But in a TSV with a single column, which cannot write an empty value as ``""``, it is
    a row, unless nothing but empty lines follows.

    Unlike pandas it guesses no types, knows no words that mean "missing", and takes no column for an index.

    Args:
        path: A text file in UTF-8, plain or gzipped.
        delimiter: A comma, or a tab, with which quotes mean nothing.
        keep_blank: Yield an empty line after the header as a bad one.

    Raises:
        UserError: If the file cannot be read, or its header is none.
    """
    records = _records(read_lines(path), delimiter)
    header = _header(path, records)
    empty: list[int] = []
    for line, text, values, reason in records:
        if not values and reason is None:
            if keep_blank:
                yield BadLine(line, BLANK, "")
            elif len(header) == 1 and delimiter == "\t":
                empty.append(line)
            continue
        yield from (Example(number, {header[0]: ""}) for number in empty)
        empty.clear()
        if reason is None and len(values) != len(header):
            names = shown(", ".join(header))[1:-1]
            reason = f"expected {len(header)} values ({names}), found {len(values)}"
        yield Example(line, dict(zip(header, values, strict=True))) if reason is None else BadLine(line, reason, text)


def _header(path: str, records: Iterator[_Record]) -> list[str]:
    header = next((record for record in records if record.values or record.reason), None)
    if header is None:
        return []
    if header.reason is not None:
        raise UserError(f"{path}, line {header.line}, the header: {header.reason}")
    check_names(path, header.values)
    return header.values


def _records(lines: Iterator[str], delimiter: str) -> Iterator[_Record]:
    """The rows; one that is an empty line has no values."""
    csv.field_size_limit(_LONGEST)  # a text may be longer than the 128 KiB that are the default
    read: list[str] = []
    reader = csv.reader(
        _remember(lines, read),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL,
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
        text = "".join(read)
        yield _Record(number, text, values, flaw(text) or reason)
        number += len(read)
        read.clear()


def _remember(lines: Iterable[str], read: list[str]) -> Iterator[str]:
    for line in lines:
        read.append(line)
        yield line
