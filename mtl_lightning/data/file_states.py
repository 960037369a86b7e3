"""The state of files that a table names: what is made of them is made anew when they change."""

from collections.abc import Iterable, Iterator
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from mtl_lightning.data.readers.tables import arrow_chunks

_ROWS = 10_000

State = tuple[int, int] | None
"""Size in bytes and time of the last change of a file; null: it is not there."""


def state_of(path: Path) -> State:
    """The state of a file."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # the second: it holds a NUL character
        return None
    return found.st_size, found.st_mtime_ns


def states_of_arrays(table: Dataset, columns: Iterable[str], root: str, endings: tuple[str, ...]) -> Iterator[State]:
    """Yields the states of all files of arrays that stand in columns of a table.

    Args:
        table: Raw columns.
        root: Folder that paths start from.
        endings: Of the files.
        columns: Their names; of no effect are those that are not there, or hold something else.
    """
    kinds = table.features.arrow_schema
    for name in (name for name in columns if name in table.column_names):
        kind = kinds.field(name).type
        for chunk in arrow_chunks(table, name, _ROWS) if pa.types.is_string(kind) else ():
            found = reduce(pc.or_, (pc.ends_with(chunk, ending, ignore_case=True) for ending in endings))
            yield from (state_of(Path(root, path)) for path in chunk.filter(found).to_pylist())
