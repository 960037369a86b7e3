"""Raw labels for tasks to learn their label names from."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from mtl_lightning.data.encoding import Encoding, check_columns
from mtl_lightning.data.examples import LabelEncoder, relabelled
from mtl_lightning.data.readers.tables import decoded, exact
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError

_ROWS = 10_000


def understood_labels(encoding: Encoding, table: Dataset, split: str, task: str) -> Iterator[Any]:
    """Yields the raw labels of a task in its own names, some thousand rows in memory at a time.

    Where the task asks for different labels only, it gets each at least once.

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
    check_columns(f"data.datasets.{encoding.name}.labels", {task: column}, table)
    raw, json_columns = exact(table.select_columns(column))
    for batch in raw.with_format("arrow").iter(_ROWS):
        found = batch.column(column)
        few = _distinct(found) if encoder.distinct else found.to_pylist()
        try:
            few = decoded({column: few}, json_columns)[column]
            understood = [_understand(encoding, task, encoder, value) for value in few]
        except UserError:
            understood = []
            for row, value in enumerate(decoded({column: found.to_pylist()}, json_columns)[column], start):
                try:
                    understood.append(_understand(encoding, task, encoder, value))
                except UserError as error:
                    if source.on_bad_row == "error":
                        where = f"data set '{encoding.name}', {source.where(table, split, row, error.word)}"
                        raise UserError(f"{where}, column '{column}': {error}; {source.mend}") from error
        yield from understood
        start += len(found)


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


def _distinct(column: pa.ChunkedArray) -> list[Any]:
    """The different values of a column; of a column of lists of texts, one list of all."""
    if pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
        return [pc.unique(pc.list_flatten(column)).to_pylist()]
    found: list[Any] = (pc.unique(column) if pa.types.is_string(column.type) else column).to_pylist()
    return found
