"""Passes over a data set that is read as it comes."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from datasets import IterableDataset

from mtl_lightning.data.examples import ExampleEncoder
from mtl_lightning.data.streams.reader import StreamReader
from mtl_lightning.data.streams.settings import Examples
from mtl_lightning.errors import UserError
from mtl_lightning.rows.bad_lines import LINE
from mtl_lightning.rows.columns import pairs_of

_LOG = logging.getLogger(__name__)


class StreamRest(NamedTuple):
    """Where a stream stands in the middle of an epoch.

    Attributes:
        state: Of the reader.
        held: Examples that were read before, and not drawn yet.
    """

    state: dict[str, Any]
    held: Examples | None


class StreamPasses:
    """Is to a stream what :class:`.passes.Passes` is to a table.

    Every process reads and encodes the whole stream, so that each knows the others' labels, and keeps its part.
    Examples are taken a buffer at a time, sorted by length and cut into what the steps draw, in random order. An epoch
    takes up where the one before ended: all batches are full, and no example is left out between them.

    Args:
        name: Of the data set, for messages.
        examples: Its training split.
        encode: Encodes raw columns.
        batch_size: Examples of a batch and process.
        num_replicas: Number of processes.

    Attributes:
        num_examples: Number of examples that counts as a pass.
        sizes: Number of examples of each batch of a pass, of all processes.
    """

    def __init__(
        self, name: str, examples: IterableDataset, encode: ExampleEncoder, batch_size: int, num_replicas: int
    ) -> None:
        streaming = encode.source.streaming
        assert streaming is not None and streaming.num_examples is not None, "check_streams() comes first"
        self.name = name
        self.encode = encode
        self.num_examples = streaming.num_examples
        self._streaming = streaming
        self._set_size(batch_size * num_replicas)
        self._reader = StreamReader(examples)
        self._epoch = 0
        self._start = self._reader.state()
        self._cut_off = False

    def _set_size(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.sizes = np.full(-(-self.num_examples // batch_size), batch_size)
        self._buffer = self._streaming.buffer // batch_size

    def of_size(self, batch_size: int) -> "StreamPasses":
        """The same stream, read by the same reader, in batches of another size of all processes together."""
        other = copy(self)
        other._set_size(batch_size)
        return other

    def draws(
        self, sizes: Sequence[int], skip: int, key: Sequence[int], rest: StreamRest | None = None
    ) -> Iterator[Examples]:
        """What is drawn in an epoch.

        Args:
            sizes: Number of batches of each draw, at least 1.
            skip: Number of draws to leave out at the start; they are read all the same.
            key: Of the random numbers: seed, epoch, and number of the data set.
            rest: Where the stream stands, where the start of the epoch was cut into other batches.

        Yields:
            The examples of a draw.
        """
        self.restore(key[1], self.state(key[1]))
        for window, draws, _ in self._filled(sizes, key, rest):
            yield from draws[max(skip - window.start, 0) :]

    def rest(self, sizes: Sequence[int], number: int, key: Sequence[int], rest: StreamRest | None = None) -> StreamRest:
        """Where the stream stands after some draws.

        Args:
            sizes: As of :meth:`draws`.
            number: Of draws.
            key: As of :meth:`draws`.
            rest: As of :meth:`draws`.
        """
        if number:
            for window, draws, held in self._filled(sizes, key, rest):
                if window.stop >= number:
                    parts = [*draws[number - window.start :], *([] if held is None else [held])]
                    return StreamRest(self._reader.state(), Examples.joined(parts) if parts else None)
        return rest or StreamRest(self.state(key[1]), None)

    def _filled(
        self, sizes: Sequence[int], key: Sequence[int], rest: StreamRest | None
    ) -> Iterator[tuple[slice, list[Examples], Examples | None]]:
        """The draws that share a buffer, with their numbers, and the examples that are held besides."""
        state, held = rest or (self.state(key[1]), None)
        self._reader.restore(state)
        for window in _windows(sizes, self._buffer):
            number = sum(sizes[window]) * self.batch_size
            examples, held = self._next(number, held)
            yield window, self._cut(examples, sizes[window], np.random.default_rng([*key, window.start])), held

    def state(self, epoch: int) -> dict[str, Any]:
        """Where the stream stands at the start of an epoch, the present one or the next, for a checkpoint."""
        return self._start if epoch == self._epoch else self._reader.state()

    def restore(self, epoch: int, state: dict[str, Any]) -> None:
        """Makes an epoch begin where it began in another run."""
        self._epoch, self._start = epoch, state

    def _next(self, number: int, held: Examples | None) -> tuple[Examples, Examples | None]:
        """Examples that are held, then others, and what is still held."""
        if held is None:
            return self._take(number), None
        if len(held) > number:
            return held[:number], held[number:]
        more = [self._take(number - len(held))] if number > len(held) else []
        return Examples.joined([held, *more]), None

    def _take(self, number: int) -> Examples:
        first = self._reader.taken
        try:
            rows = self._reader.take(number)
        except UserError as error:
            raise UserError(f"data.datasets.{self.name}: {error}") from error
        if first == 0:
            self._check_columns(rows)
        encoded = self._encoded(rows, first)
        self._warn_of_long_ones(encoded.pop("lost"))
        encoded["row"] = list(range(first, first + number))
        read = {n: values for n, values in encoded.items() if n != "note" and not n.startswith("irregular/")}
        return Examples({name: _array(values) for name, values in read.items()})

    def _encoded(self, rows: Sequence[Mapping[str, Any]], first: int) -> dict[str, list[Any]]:
        try:
            return self.encode(self._columns(rows))
        except UserError:
            for number, row in enumerate(rows, first):
                try:
                    self.encode(self._columns([row]))
                except UserError as error:
                    where = self.encode.source.describe("train", number, row.get(LINE), error.word)
                    raise UserError(f"data set '{self.name}', {where}, {error}; fix it") from error
            raise

    def _columns(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        source = self.encode.source
        labels = [column for _, column in pairs_of({task: source.labels[task] for task in self.encode.tasks})]
        return {name: [row.get(name) for row in rows] for name in [*source.input_columns, *labels]}

    def _check_columns(self, rows: Sequence[Mapping[str, Any]]) -> None:
        found = list(dict.fromkeys(name for row in rows for name in row if name != LINE))
        labels = {task: self.encode.source.labels[task] for task in self.encode.tasks}
        for kind, pairs in (("inputs", pairs_of(self.encode.source.inputs)), ("labels", pairs_of(labels))):
            for name, column in pairs:
                if column not in found:
                    where = f"data.datasets.{self.name}.{kind}.{name}"
                    read = f"the first {len(rows):,} examples have no column '{column}'"
                    hint = self.encode.source.hint(column, [{n: row.get(n) for n in found} for row in rows[:20]])
                    raise UserError(f"{where}: {read}; {hint}")

    def _warn_of_long_ones(self, lost: Sequence[int]) -> None:
        if any(lost) and not self._cut_off:
            self._cut_off = True
            number, taken = np.count_nonzero(lost), self._reader.taken
            _LOG.warning(
                f"data set '{self.name}', a stream: {number:,} of the {len(lost):,} examples before the {taken:,}th "
                f"are longer than the encoder's limit and cut off (`model.encoder.max_length`); later ones are not told"
            )

    def _cut(self, examples: Examples, sizes: Sequence[int], random: np.random.Generator) -> list[Examples]:
        """Parts of ``sizes`` batches, each of similar lengths."""
        rows = random.permutation(len(examples))
        rows = rows[np.argsort(examples.columns["length"][rows], kind="stable")]
        order = random.permutation(len(sizes))
        ends = np.cumsum(np.asarray(sizes)[order]) * self.batch_size
        parts = np.split(rows, ends[:-1])
        return [examples[parts[place]] for place in np.argsort(order)]


def _windows(sizes: Sequence[int], most: int) -> Iterator[slice]:
    """Stretches of draws, each of ``most`` batches at most, but of one draw at least."""
    start, held = 0, 0
    for number, size in enumerate(sizes):
        if held and held + size > most:
            yield slice(start, number)
            start, held = number, 0
        held += size
    if held:
        yield slice(start, len(sizes))


def _array(values: Sequence[Any]) -> np.ndarray:
    """One array of numbers, or one of objects: arrays, or lists of arrays where examples are lists of lists, or what
    describes a file.
    """
    if not hasattr(values[0], "__len__"):
        return np.array(values)
    array = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        is_nested = isinstance(value, list) and value and hasattr(value[0], "__len__")
        is_plain = isinstance(value, dict | str | bytes)
        array[position] = value if is_plain else [np.asarray(i) for i in value] if is_nested else np.asarray(value)
    return array
