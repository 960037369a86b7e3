"""Reads rows of a table of numbers without a piece of Python for each row."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from mtl_lightning.data.columns import read_rows


class RowReader:
    """Some columns of a table; see :func:`.read_rows`, which it does the same as.

    Columns of numbers, and of lists of as many numbers each, are read by the addresses of their numbers: a table on
    disk consists of thousands of pieces, which Arrow would join one after the other.

    Args:
        table: In the format ``arrow``.
        names: Of the columns.
    """

    def __init__(self, table: Dataset, names: Sequence[str]) -> None:
        self._order = list(names)
        held = {} if table._indices is not None else {name: _numbers(table.data.column(name)) for name in names}
        self._numbers = {name: found for name, found in held.items() if found is not None}
        rest = [name for name in names if name not in self._numbers]
        self._rest = table.select_columns(rest).with_format("arrow") if rest else None

    def __call__(self, rows: Sequence[int]) -> dict[str, Any]:
        """Values of rows, by column.

        Args:
            rows: Their numbers, B of them.
        """
        found = {} if self._rest is None else read_rows(self._rest, rows)
        places = np.asarray(rows, np.int64)
        return {name: self._numbers[name](places) if name in self._numbers else found[name] for name in self._order}


class _Numbers:
    """A column in pieces, each N_i rows of as many numbers.

    Args:
        column: Keeps the memory.
        pieces: The numbers of each piece.
        width: Numbers of a row; null: a row is a number, and not a list.
    """

    def __init__(self, column: pa.ChunkedArray, pieces: Sequence[np.ndarray], width: int | None) -> None:
        self._column, self._width = column, width
        step, kind = width or 1, pieces[0].dtype
        self._starts = np.cumsum([0, *(len(piece) // step for piece in pieces)])
        addresses = np.array([piece.ctypes.data for piece in pieces])
        first = int(addresses.min())
        size = max(int(address) + piece.nbytes for address, piece in zip(addresses, pieces, strict=True)) - first
        memory: Any = (ctypes.c_char * size).from_address(first)  # with what lies between pieces
        self._memory: np.ndarray = np.frombuffer(memory, kind)
        self._places = (addresses - first) // kind.itemsize - self._starts[:-1] * step  # of row 0, were it there

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Of rows [B], or [B, width]."""
        if len(rows) and not (rows.min() >= 0 and rows.max() < self._starts[-1]):
            raise IndexError(f"the table has {self._starts[-1]:,} rows, and no row {rows.max():,}")
        pieces = np.searchsorted(self._starts, rows, "right") - 1
        places = self._places[pieces] + rows * (self._width or 1)
        if self._width is not None:
            places = places[:, None] + np.arange(self._width)
        found: np.ndarray = self._memory[places]
        return found


def _numbers(column: pa.ChunkedArray) -> _Numbers | None:
    """A column by the addresses of its numbers; null: it holds something else, or values are missing."""
    kind, chunks = column.type, [chunk for chunk in column.chunks if len(chunk)]
    if isinstance(column, pa.ExtensionArray) or not chunks or column.null_count:
        return None
    if not pa.types.is_list(kind):
        pieces = _arrays(chunks)
        return None if pieces is None else _aligned(column, pieces, None)
    widths = {value for chunk in chunks for value in pc.min_max(chunk.value_lengths()).as_py().values()}
    pieces = _arrays([chunk.flatten() for chunk in chunks]) if len(widths) == 1 and min(widths) > 0 else None
    return None if pieces is None else _aligned(column, pieces, min(widths))


def _arrays(chunks: Sequence[pa.Array]) -> list[np.ndarray] | None:
    """The memory of chunks of numbers, as it is."""
    kind = chunks[0].type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)) or any(chunk.null_count for chunk in chunks):
        return None
    return [chunk.to_numpy(zero_copy_only=True) for chunk in chunks]


def _aligned(column: pa.ChunkedArray, pieces: list[np.ndarray], width: int | None) -> _Numbers | None:
    """Null where pieces do not lie whole numbers apart."""
    first, size = pieces[0].ctypes.data, pieces[0].dtype.itemsize
    apart = any((piece.ctypes.data - first) % size for piece in pieces)
    return None if apart else _Numbers(column, pieces, width)
