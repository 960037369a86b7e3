"""What a stream holds of inputs, read before training starts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from datasets import IterableDataset

from mtl_lightning.data.dull_columns import noticed
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.streams.reader import StreamReader
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import CountedColumn

_ROWS = 10_000


def streamed_inputs(
    name: str, source: DataSource, stream: IterableDataset
) -> Iterator[Mapping[str, Sequence[CountedColumn]]]:
    """Yields raw values of the inputs of a stream from its beginning, as :func:`.labels.counted_inputs` does.

    It reads as many examples as ``streaming.learn_from`` says, or those of a pass, and ends where the stream does. The
    stream itself stays where it stands.

    Args:
        name: Of the data set, for messages.
        source: The data set.
        stream: Its training split.

    Raises:
        UserError: If an input has no column, or the stream breaks off.
    """
    names = {each: [columns] if isinstance(columns, str) else columns for each, columns in source.inputs.items()}
    where = f"data set '{name}', split 'train'"
    return noticed(where, names, _streamed_inputs(name, source, stream, names))


def _streamed_inputs(
    name: str, source: DataSource, stream: IterableDataset, names: Mapping[str, Sequence[str]]
) -> Iterator[Mapping[str, Sequence[CountedColumn]]]:
    assert source.streaming is not None and source.streaming.num_examples is not None, "check_streams() comes first"
    most = source.streaming.learn_from or source.streaming.num_examples
    reader = StreamReader(deepcopy(stream))
    try:
        while rows := reader.of_this_turn(min(most - reader.taken, _ROWS)):
            if reader.taken == len(rows):
                _check_columns(name, source, rows)
            counted = {column: _counted([row.get(column) for row in rows]) for column in source.input_columns}
            yield {each: [counted[column] for column in columns] for each, columns in names.items()}
    except UserError as error:
        raise UserError(f"data.datasets.{name}: {error}") from error


def _counted(values: Sequence[Any]) -> CountedColumn:
    try:
        counts = Counter((type(value), value) for value in values)  # 1 and true are equal
    except TypeError:  # lists are not counted
        return CountedColumn(values, [1] * len(values))
    return CountedColumn([value for _, value in counts], list(counts.values()))


def _check_columns(name: str, source: DataSource, rows: Sequence[Mapping[str, Any]]) -> None:
    there = {column for row in rows for column in row}
    for column in source.input_columns:
        if column not in there:
            hint = source.hint(column, rows[:20])
            raise UserError(f"inputs: the first {len(rows):,} examples have no column '{column}'; {hint}")
