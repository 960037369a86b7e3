"""Columns of tables as NumPy arrays, without making Python objects of their numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset


def read_rows(table: Dataset, rows: Sequence[int]) -> dict[str, Any]:
    """Some rows of a table, by column.

    Args:
        table: In the format ``arrow``.
        rows: Their numbers, B of them.

    Returns:
        For each column B values: numbers as one array [B], lists of n numbers each as one array [B, n], a list of
        numbers as an array, a list of lists as a list of those. (The numpy format of ``datasets`` gives nearly the
        same, in ten times the time.)
    """
    found = table[rows]
    return {name: _values(found.column(name)) for name in found.column_names}


def integers(table: Dataset, columns: Sequence[str], chunk: int = 100_000) -> dict[str, np.ndarray]:
    """Whole columns of numbers, each [N] as int32.

    Args:
        table: With at least one row.
        columns: Their names.
        chunk: Rows to read at a time.
    """
    parts = [
        {name: batch.column(name).to_numpy().astype(np.int32) for name in columns}
        for batch in table.select_columns(list(columns)).with_format("arrow").iter(chunk)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in columns}


def with_prefix(prefix: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): values for name, values in columns.items() if name.startswith(prefix)}


def lengths_of(tables: Mapping[str, Dataset]) -> dict[str, np.ndarray]:
    """Length of each example of encoded tables [N], by data set."""
    return {name: integers(table, ["length"])["length"] for name, table in tables.items()}


def numbers_of(prefix: str, table: Dataset) -> dict[str, np.ndarray]:
    """The columns of numbers of a table whose names begin with ``prefix``, each [N], by the rest of their names."""
    names = [name for name in table.column_names if name.startswith(prefix)]
    return with_prefix(prefix, integers(table, names)) if names else {}


def _values(column: pa.ChunkedArray) -> Any:
    """Lists of one length need no array of objects."""
    kind = column.type
    if pa.types.is_list(kind) and pa.types.is_primitive(kind.value_type) and not column.null_count:
        lists = column.combine_chunks()
        numbers, lengths = lists.flatten(), lists.value_lengths()
        if not numbers.null_count and len(pc.unique(lengths)) == 1 and len(numbers):
            return numbers.to_numpy(zero_copy_only=False).reshape(len(lists), -1)
    return _plain(column.to_numpy())


def _plain(value: Any) -> Any:
    """Arrow gives lists as arrays of objects."""
    return [_plain(item) for item in value] if isinstance(value, np.ndarray) and value.dtype == object else value
