"""Rows of a table: numeric and categorical columns."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any
from zlib import crc32

import numpy as np

from mtl_lightning.errors import UserError, shown
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.column_statistics import (
    CATEGORICAL,
    INPUTS,
    NUMERIC,
    ColumnStatistics,
    CountedRows,
    category,
    column_of_numbers,
    learn,
    single,
)

MISSING, UNKNOWN = 0, 1
"""Numbers of what is no category of the training split: a value that is missing, and any other one."""

_FIRST = 2
_KINDS = {NUMERIC: np.float32, CATEGORICAL: np.int64}


class TableInputs(Inputs):
    """The plain part of :class:`.TableProcessor`, which describes its inputs and arguments."""

    inputs = INPUTS
    reads_missing = True

    def __init__(
        self,
        statistics: ColumnStatistics | None = None,
        min_count: int = 1,
        max_categories: int | None = None,
        hash_buckets: int = 0,
    ) -> None:
        self.min_count = min_count
        self.max_categories = max_categories
        self.hash_buckets = hash_buckets
        self._statistics = statistics
        self._numbers = [] if statistics is None else _numbered(statistics)

    @property
    def is_complete(self) -> bool:
        """Whether the training split was looked at."""
        return self._statistics is not None

    @property
    def statistics(self) -> ColumnStatistics:
        """Of the training split.

        Raises:
            UserError: If nobody has looked at it yet.
        """
        if self._statistics is None:
            raise UserError("the encoder of tables has not seen its training data yet")
        return self._statistics

    def learn(self, rows: Iterable[CountedRows]) -> None:
        """Takes categories, means and deviations from the training splits; see :func:`.column_statistics.learn`."""
        self.take(learn(rows, self.min_count, self.max_categories))

    def take(self, statistics: ColumnStatistics) -> None:
        """Takes what another model has learnt."""
        self._statistics, self._numbers = statistics, _numbered(statistics)

    @property
    def num_categories(self) -> list[int]:
        """How many numbers each categorical column is encoded to: with missing and unknown ones, and buckets."""
        return [len(words) + _FIRST + self.hash_buckets for words in self.statistics.vocabularies]

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        known = {NUMERIC: len(self.statistics.means), CATEGORICAL: len(self.statistics.vocabularies)}
        self._refuse_others(columns, known)
        encoded = {}
        for name, width in known.items():
            if width:
                encoded[name] = list(self._rows(name, columns[name], width))
        return encoded

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        return self.stack({name: [example[name] for example in examples] for name in examples[0]})

    def stack(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
        """The same of columns: B encoded values by name, or an array of them [B, width]."""
        return {name: _stacked(columns[name], kind) for name, kind in _KINDS.items() if name in columns}

    def length(self, example: Mapping[str, Any]) -> int:
        return 1

    def unknown(self, columns: Mapping[str, Sequence[Any]]) -> dict[tuple[str, int], np.ndarray]:
        """Which encoded categories are none of the training split's, by column; see :meth:`.InputProcessor.unknown`."""
        if CATEGORICAL not in columns:
            return {}
        found = _stacked(columns[CATEGORICAL], np.int64)
        beyond = np.array([_FIRST + len(words) for words in self.statistics.vocabularies])
        unknown = (found == UNKNOWN) | (found >= beyond)
        return {(CATEGORICAL, part): unknown[:, part] for part in range(found.shape[1])}

    def state(self) -> dict[str, Any]:
        found = {"min_count": self.min_count, "max_categories": self.max_categories, "hash_buckets": self.hash_buckets}
        return {**found, "statistics": self.statistics.written()}

    def samples(self, number: int) -> dict[str, list[Any]]:
        """Some raw rows, with a number or a category missing here and there, by input."""
        found, counted = self.statistics, range(number)
        moments = list(zip(found.means, found.deviations, strict=True))
        rows: dict[str, list[Any]] = {}
        if moments:
            rows[NUMERIC] = [
                tuple(None if i % 5 == 4 else mean + i % 3 * gap for mean, gap in moments) for i in counted
            ]
        if words := found.vocabularies:
            rows[CATEGORICAL] = [
                tuple(each[i % len(each)] if each and i % 5 != 3 else None for each in words) for i in counted
            ]
        return rows

    def signature(self) -> Any:
        """Something small that changes with what ``encode`` gives."""
        learnt = None if self._statistics is None else sha256(self._statistics.written().encode()).hexdigest()
        return [learnt, self.hash_buckets]

    def _refuse_others(self, given: Collection[str], known: Mapping[str, int]) -> None:
        wanted = [name for name, width in known.items() if width]
        if set(given) != set(wanted):
            raise UserError(f"give {' and '.join(f'`{name}`' for name in wanted)}; found {', '.join(given)}")

    def _rows(self, name: str, values: Sequence[Any], width: int) -> np.ndarray:
        """One input of all examples [N, width]."""
        rows = [value if isinstance(value, tuple | list) else (value,) for value in values]
        if wrong := [len(row) for row in rows if len(row) != width]:
            found = f"found {wrong[0]} value{'s' * (wrong[0] != 1)} in a row"
            of_lists = "; give each value of a list a column of its own" if width == 1 else ""
            raise UserError(f"`{name}` has {width} column{'s' * (width > 1)}, {found}{of_lists}")
        read = self._read_numbers if name == NUMERIC else self._look_up
        columns = [read(part, column) for part, column in enumerate(zip(*rows, strict=True))]
        return np.stack(columns, axis=1) if rows else np.zeros((0, width))

    def _read_numbers(self, part: int, column: Sequence[Any]) -> np.ndarray:
        """Standardised, in double precision: a time in seconds since 1970 differs in the last digits alone."""
        try:
            found = column_of_numbers(column)
            with np.errstate(over="ignore"):  # it becomes infinite
                scaled = (found - self.statistics.means[part]) / self.statistics.deviations[part]
                small = scaled.astype(np.float32)
            if np.isinf(small).any():
                raise UserError(f"is beyond all numbers of the training data: {found[np.isinf(small)][0]:g}")
            return small
        except UserError as error:
            raise UserError(f"input '{NUMERIC}' {error}", part=part, of=NUMERIC) from error

    def _look_up(self, part: int, column: Sequence[Any]) -> np.ndarray:
        numbers, seen, found = self._numbers[part], dict[Any, int](), list[int]()
        for value in column:
            if type(value) not in (str, int):  # others may be equal and no category's name alike, as 1.0 and True
                if isinstance(single(value), list | dict):
                    cure = "give each of its values a column of its own"
                    raise UserError(
                        f"input '{CATEGORICAL}' must be one category, found {shown(value)}; {cure}",
                        part=part,
                        of=CATEGORICAL,
                    )
                found.append(self._number_of(numbers, value))
                continue
            if value not in seen:
                seen[value] = self._number_of(numbers, value)
            found.append(seen[value])
        return np.array(found, dtype=np.int32)

    def _number_of(self, numbers: Mapping[str, int], value: Any) -> int:
        name = category(value)
        if name is None:
            return MISSING
        found = numbers.get(name)
        if found is not None:
            return found
        if not self.hash_buckets:
            return UNKNOWN
        return _FIRST + len(numbers) + crc32(name.encode("utf-8", "surrogatepass")) % self.hash_buckets


def _stacked(values: Any, kind: Any) -> np.ndarray:
    """An array [B, width] of what may be one of objects, as examples of a stream are."""
    is_of_objects = isinstance(values, np.ndarray) and values.dtype == object
    return np.array(list(values) if is_of_objects else values, kind)


def _numbered(statistics: ColumnStatistics) -> list[dict[str, int]]:
    """Numbers of the categories of each column."""
    return [{word: i for i, word in enumerate(words, _FIRST)} for words in statistics.vocabularies]
