"""Reads CSV and TSV: every value is the text that stands in the file."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from datasets import Dataset, Features, Value

from mtl_lightning.errors import UserError


def read_delimited(path: str, delimiter: str) -> Iterator[dict[str, str]]:
    """Yields the rows of a file that has a header row; empty lines are passed over.

    Unlike pandas it guesses no types, knows no words that mean "missing", and takes no column for an index.

    Args:
        path: A text file in UTF-8, plain or gzipped.
        delimiter: A comma, or a tab, with which quotes mean nothing.

    Raises:
        UserError: If a row has another number of values than the header, or the header names a column twice.
    """
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter, quoting=quoting)
        header = next(rows, [])
        if twice := [name for name in header if header.count(name) > 1]:
            raise UserError(f"{path}: the header names the column '{twice[0]}' twice")
        for values in rows:
            if values and len(values) != len(header):
                raise UserError(
                    f"{path}, line {rows.line_num}: expected {len(header)} values ({', '.join(header)}), "
                    f"found {len(values)}: {delimiter.join(values)[:80]!r}"
                )
            if values:
                yield dict(zip(header, values, strict=True))


def delimited_table(path: str, delimiter: str) -> Dataset:
    """The rows of a file as a table, cached by path and time of change; see :func:`read_delimited`."""
    status = Path(path).stat()
    names = next(read_delimited(path, delimiter), None)
    if names is None:
        raise UserError(f"{path} holds no examples")
    arguments = {"path": path, "delimiter": delimiter, "version": f"{status.st_size}-{status.st_mtime_ns}"}
    features = Features({name: Value("string") for name in names})
    return Dataset.from_generator(_rows, features=features, gen_kwargs=arguments)


def _rows(path: str, delimiter: str, version: str) -> Iterator[dict[str, str]]:
    yield from read_delimited(path, delimiter)
