"""Arrow tables on disk: written once, then mapped into memory by every run that reads the same file."""

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetInfo, Json
from datasets.formatting import query_table
from datasets.table import MemoryMappedTable

from mtl_lightning.data.cache import made_once
from mtl_lightning.errors import UserError
from mtl_lightning.version import __version__
from mtl_lightning.writing import replacing

_ROWS = 1000

_FORMAT = 2
"""Number of the format of the tables that are read from files; raise it with every change after which a reader makes
another table of the same file. 2: an empty line of a TSV with one column is a row."""


def cached(
    path: str, settings: Sequence[Any], make: Callable[[], tuple[pa.Schema, Iterator[pa.RecordBatch]]]
) -> Dataset:
    """The table that is made of a file, from the cache if the same content was read before.

    Of processes and runs that start at once one makes it, and the others wait. It takes its place at one stroke.

    Args:
        path: The file.
        settings: What the table depends on besides the file's content.
        make: Returns the schema and the batches of the table; called if it is not in the cache.
    """
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "blake2b")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error}") from error
    digest.update(json.dumps([__version__, _FORMAT, *settings]).encode())
    key = digest.hexdigest()[:16]

    def write_and_map(target: Path) -> Dataset:
        if not target.is_file():
            _write(target, *make())
        return Dataset(MemoryMappedTable.from_file(str(target)), fingerprint=key)

    return made_once(key, write_and_map)


def _write(target: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    with (
        replacing(target) as unfinished,
        pa.OSFile(str(unfinished), "wb") as sink,
        pa.ipc.new_stream(sink, schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def exact(table: Dataset) -> tuple[Dataset, set[str]]:
    """The same table, whose JSON columns give JSON, and their names: the library's own decoder rounds numbers."""
    names = json_columns(table, table.column_names)
    if not names:
        return table, names
    features = table.features
    features.update(dict.fromkeys(names, Json(decode=False)))
    info = DatasetInfo(features=features)  # not by `cast_column`, which copies all columns for each
    return Dataset(table.data, info, table.split, table._indices, f"{table._fingerprint}-exact"), names


def decoded(columns: Mapping[str, Sequence[Any]], names: Container[str]) -> dict[str, Sequence[Any]]:
    """Columns of a table that is :func:`exact` as Python objects; ``names`` are those that hold JSON."""
    return {name: _loads(found) if name in names else found for name, found in columns.items()}


def chunks(table: Dataset, column: str) -> Iterator[Sequence[Any]]:
    """The values of a column in stretches of some thousand, so that they need not fit into memory."""
    names = json_columns(table, [column])
    for found in arrow_chunks(table, column, _ROWS):
        yield decoded({column: found.to_pylist()}, names)[column]


def arrow_chunks(table: Dataset, column: str, rows: int) -> Iterator[pa.ChunkedArray]:
    """A column in stretches of some rows; JSON in it is text.

    What it costs does not depend on how many other columns there are: ``select_columns`` copies the features of all.
    """
    alone = table.data.select([column])
    for start in range(0, len(table), rows):
        yield query_table(alone, slice(start, start + rows), table._indices).column(column)


def json_columns(table: Dataset, columns: Iterable[str]) -> set[str]:
    """Those of some columns that hold JSON."""
    features = table.info.features  # itself: ``table.features`` is a copy
    return {name for name in columns if isinstance(features[name], Json)}


def _loads(texts: Sequence[str | None]) -> list[Any]:
    return [None if text is None else json.loads(text) for text in texts]
