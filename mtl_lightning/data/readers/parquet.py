"""Tables of Parquet files."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features
from pyarrow import parquet

from mtl_lightning.data.readers.tables import cached
from mtl_lightning.errors import UserError
from mtl_lightning.rows.bad_lines import LINE
from mtl_lightning.rows.lines import LONGEST, check_names, open_binary

_ROWS = 1000


def parquet_table(path: str) -> Dataset:
    """A file as a table, cached by content, with the numbers of its rows in the column ``__line__``.

    Args:
        path: The file, plain or gzipped.

    Raises:
        UserError: If it is not Parquet, is damaged, holds texts that are not UTF-8, or holds nothing.
    """
    return cached(path, ["parquet"], lambda: _make(path))


def parquet_rows(path: str) -> Iterator[dict[str, Any]]:
    """Yields the rows of a file, for a stream; errors as those of :func:`parquet_table`."""
    for batch in _make(path)[1]:
        yield from batch.to_pylist()


def _make(path: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    with _explained(path), open_binary(path) as packed:
        file = parquet.ParquetFile(pa.BufferReader(packed.read()) if path.lower().endswith(".gz") else path)
        plain = file.schema_arrow.remove_metadata()
        check_names(path, plain.names)
        for field in plain:
            _check_type(path, field)
        schema = Features.from_arrow_schema(plain.append(pa.field(LINE, pa.int64()))).arrow_schema
    if file.metadata.num_rows == 0:
        raise UserError(f"{path} holds no examples")
    return schema, _batches(path, file, schema)


def _check_type(path: str, field: pa.Field) -> None:
    """Raises :class:`UserError` for a column that `datasets` cannot hold."""
    try:
        Features.from_arrow_schema(pa.schema([field]))
    except ValueError as error:
        cure = "take it out, or write its values as texts or lists"
        raise UserError(f"{path}: column '{field.name}' is of type {field.type}, which is not read; {cure}") from error


def _batches(path: str, file: parquet.ParquetFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    read = 0
    with _explained(path):
        for batch in file.iter_batches(_ROWS):
            rows = range(read + 1, read + batch.num_rows + 1)
            read = rows.stop - 1
            try:
                batch.validate(full=True)
            except pa.ArrowInvalid as error:
                raise UserError(f"{path}, rows {rows.start:,} to {read:,}: {error}") from error
            _refuse_long(path, batch, rows)
            columns = [*batch.columns, pa.array(rows, pa.int64())]
            yield pa.RecordBatch.from_arrays(columns, names=schema.names).cast(schema)
    if read != file.metadata.num_rows:
        raise UserError(f"{path} should hold {file.metadata.num_rows:,} rows, found {read:,}")


def _refuse_long(path: str, batch: pa.RecordBatch, rows: range) -> None:
    """Raises :class:`UserError` for a row that would take gigabytes to encode."""
    for number, row in enumerate(rows) if batch.nbytes > LONGEST else ():
        if batch.slice(number, 1).nbytes > LONGEST:
            hint = "shorten it, or make several rows of it"
            raise UserError(f"{path}, row {row:,}: it has more than {LONGEST:,} bytes; {hint}")


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Makes :class:`UserError` of all that a file can be blamed for."""
    try:
        yield
    except (pa.ArrowException, EOFError, MemoryError, OSError, ValueError, zlib.error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"cannot read {path} as parquet: {' '.join(str(error).split())[:300]}") from error
