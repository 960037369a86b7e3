"""Raw labels for tasks to learn their label names from."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from mtl_lightning.data.dull_columns import noticed
from mtl_lightning.data.encoding import Encoding, check_columns
from mtl_lightning.data.examples import LabelEncoder, relabelled
from mtl_lightning.data.readers.tables import arrow_chunks, decoded, json_columns
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import CountedColumn
from mtl_lightning.raw_labels import Counted
from mtl_lightning.rows.columns import called

_ROWS = 10_000


def understood_labels(encoding: Encoding, table: Dataset, split: str, task: str) -> Iterator[Any]:
    """Yields the raw labels of a task in its own names, some thousand rows in memory at a time.

    A task that takes counted labels gets each different one of those thousands once.

    Args:
        encoding: Of the data set.
        table: Raw columns.
        split: Its name, for messages.
        task: Name of the task.

    Raises:
        UserError: If there is no such column, or for a label that cannot be understood, unless the data set skips such
            rows; it names the row.
    """
    source, encoder = encoding.source, encoding.tasks[task]
    columns, start = source.labels[task], 0
    check_columns(f"data.datasets.{encoding.name}.labels", {task: columns}, table, source)
    for found in _stretches(table, columns):
        try:
            values, counts = found.counted(encoder.level) if encoder.counted else (found.values, None)
            understood = [_understand(encoding, task, encoder, value) for value in values]
        except UserError:
            rows = enumerate(found.values, start)
            understood, counts = list(_good(encoding, table, split, task, rows)), None
        yield from understood if counts is None else map(Counted, understood, counts)
        start += len(found)


def _good(encoding: Encoding, table: Dataset, split: str, task: str, rows: Iterable[tuple[int, Any]]) -> Iterator[Any]:
    """The labels of some rows that can be understood; if the data set skips none, it is an error if one cannot."""
    source = encoding.source
    for row, value in rows:
        try:
            yield _understand(encoding, task, encoding.tasks[task], value)
        except UserError as error:
            if source.on_bad_row == "error":
                where = f"data set '{encoding.name}', {source.where(table, split, row, error.word)}"
                raise UserError(f"{where}, {called(source.labels[task])}: {error}; {source.remedy}") from error


def counted_inputs(source: DataSource, table: Dataset, where: str) -> Iterator[Mapping[str, Sequence[CountedColumn]]]:
    """Yields the raw values of a table's inputs, some thousand rows at a time, each different value of a column once.

    Args:
        source: Says which column is which input.
        table: Raw columns.
        where: The data set and its split, for a warning of columns that tell nothing.
    """
    names = {name: [columns] if isinstance(columns, str) else columns for name, columns in source.inputs.items()}
    return noticed(where, names, _counted_inputs(source, table, names))


def _counted_inputs(
    source: DataSource, table: Dataset, names: Mapping[str, Sequence[str]]
) -> Iterator[Mapping[str, Sequence[CountedColumn]]]:
    flat = source.input_columns
    in_json = json_columns(table, flat)
    for chunks in zip(*(arrow_chunks(table, name, _ROWS) for name in flat), strict=True):
        found = {}
        for name, chunk in zip(flat, chunks, strict=True):
            values, counts = _counted(chunk, "pooled")
            found[name] = CountedColumn(decoded({name: values}, in_json)[name], counts)
        yield {name: [found[column] for column in columns] for name, columns in names.items()}


def check_label_maps(name: str, source: DataSource, tasks: Mapping[str, LabelEncoder]) -> None:
    """Raises :class:`UserError` if a label map of a data set is none, or maps to a label that its task has not."""
    for task in source.labels:
        try:
            rename = source.renaming(task)
        except UserError as error:
            raise UserError(f"data.datasets.{name}.{error}") from error
        if rename is None:
            continue
        try:
            tasks[task].check_names(rename.targets)
        except UserError as error:
            raise UserError(f"data.datasets.{name}.label_maps.{task}: {error}") from error


def _understand(encoding: Encoding, task: str, encoder: LabelEncoder, value: Any) -> Any:
    label = relabelled(encoding.source, task, encoder, value)
    encoder.check(label)
    return label


class _Stretch:
    """Raw labels of some rows: of one column, or tuples of those of several.

    Args:
        columns: By name, each [N].
        in_json: Names of those that hold JSON.
        several: Whether the labels are tuples.
    """

    def __init__(self, columns: Mapping[str, pa.ChunkedArray], in_json: Container[str], several: bool) -> None:
        self._columns = columns
        self._in_json = in_json
        self._several = several

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    @property
    def values(self) -> list[Any]:
        """One a row."""
        found = decoded({name: column.to_pylist() for name, column in self._columns.items()}, self._in_json)
        return list(zip(*found.values(), strict=True)) if self._several else list(*found.values())

    def counted(self, level: str) -> tuple[Sequence[Any], Sequence[int] | None]:
        """The different ones and their counts; of several columns, all as they come, without counts."""
        if self._several:
            return self.values, None
        ((name, column),) = self._columns.items()
        values, counts = _counted(column, level)
        return decoded({name: values}, self._in_json)[name], counts


def _stretches(table: Dataset, columns: str | list[str]) -> Iterator[_Stretch]:
    names = [columns] if isinstance(columns, str) else columns
    in_json = json_columns(table, names)
    for chunks in zip(*(arrow_chunks(table, name, _ROWS) for name in names), strict=True):
        yield _Stretch(dict(zip(names, chunks, strict=True)), in_json, not isinstance(columns, str))


_OF_ARROW = (pa.types.is_string, pa.types.is_boolean, pa.types.is_integer, pa.types.is_float32, pa.types.is_float64)
"""Types whose values Arrow counts, without a Python object a row."""


def _counted(column: pa.ChunkedArray, level: str) -> tuple[Sequence[Any], Sequence[int]]:
    """The different values of a column and their counts; where words are labelled by lists of texts, the texts'."""
    kind, nested = column.type, False
    if level == "tokens" and pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        column, nested = pc.list_flatten(column), True
    if nested or any(is_kind(kind) for is_kind in _OF_ARROW):
        found = pc.value_counts(column)
        values = found.field("values").to_pylist()
        return [[value] for value in values] if nested else values, found.field("counts").to_pylist()
    tally = Counter(map(_hashable, values := column.to_pylist()))
    first = dict(zip(map(_hashable, reversed(values)), reversed(values), strict=True))
    return [first[key] for key in tally], list(tally.values())


def _hashable(value: Any) -> Any:
    """A key that equals another's only if the values are the same, type included: 1 is not True."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else (type(value), repr(value))
