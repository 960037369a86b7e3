"""Raw labels for tasks to learn their label names from."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from mtl_lightning.data.encoding import Encoding, check_columns
from mtl_lightning.data.examples import LabelEncoder, relabelled
from mtl_lightning.data.readers.tables import arrow_chunks, decoded, json_columns
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels import Counted

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
    column, start = source.labels[task], 0
    check_columns(f"data.datasets.{encoding.name}.labels", {task: column}, table, source)
    in_json = json_columns(table, [column])
    for found in arrow_chunks(table, column, _ROWS):
        values, counts = _counted(found, encoder.level) if encoder.counted else (found.to_pylist(), None)
        try:
            values = decoded({column: values}, in_json)[column]
            understood = [_understand(encoding, task, encoder, value) for value in values]
        except UserError:
            rows = decoded({column: found.to_pylist()}, in_json)[column]
            understood, counts = list(_good(encoding, table, split, task, enumerate(rows, start))), None
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
                raise UserError(f"{where}, column '{source.labels[task]}': {error}; {source.remedy}") from error


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


def _counted(column: pa.ChunkedArray, level: str) -> tuple[Sequence[Any], Sequence[int]]:
    """The different values of a column and their counts; where words are labelled by lists of texts, the texts'."""
    kind, nested = column.type, False
    if level == "tokens" and pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        column, nested = pc.list_flatten(column), True
    if nested or pa.types.is_string(kind):
        found = pc.value_counts(column)
        values = found.field("values").to_pylist()
        return [[value] for value in values] if nested else values, found.field("counts").to_pylist()
    tally = Counter(map(_hashable, values := column.to_pylist()))
    first = dict(zip(map(_hashable, reversed(values)), reversed(values), strict=True))
    return [first[key] for key in tally], list(tally.values())


def _hashable(value: Any) -> Any:
    """A key that equals another's only if the values are the same, type included: 1 is not True."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else (type(value), repr(value))
