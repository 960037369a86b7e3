"""What is learnt of the columns of a table before a model reads them."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from mtl_lightning.errors import UserError, shown
from mtl_lightning.inputs.numbers import numbers
from mtl_lightning.raw_labels import is_missing, tidy

NUMERIC, CATEGORICAL = "numeric", "categorical"
_NO_NUMBER = "; leave the field empty where a number is missing; a code or a date is no number but a category"
INPUTS = (NUMERIC, CATEGORICAL)


class CountedColumn(NamedTuple):
    """Some rows of a column.

    Attributes:
        values: The different ones.
        counts: How often each occurs.
    """

    values: Sequence[Any]
    counts: Sequence[int]


CountedRows = Mapping[str, Sequence[CountedColumn]]
"""Some rows of a table: the columns of each input."""


@dataclass(frozen=True)
class ColumnStatistics:
    """What is known of the columns of the training split.

    Attributes:
        vocabularies: The categories of each categorical column, the most frequent first.
        means: Of each numeric column.
        deviations: Standard deviation of each numeric column, 1 where all its values are the same.
    """

    vocabularies: tuple[tuple[str, ...], ...] = ()
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    def written(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def read(cls, text: str) -> "ColumnStatistics":
        """What ``written`` has written.

        Raises:
            UserError: If it is something else.
        """
        try:
            found = json.loads(text)
            vocabularies = tuple(tuple(map(str, words)) for words in found["vocabularies"])
            return cls(vocabularies, tuple(map(float, found["means"])), tuple(map(float, found["deviations"])))
        except (ValueError, TypeError, LookupError) as error:
            raise UserError(f"these are no statistics of columns: {str(error)[:200]}") from error


def learn(rows: Iterable[CountedRows], min_count: int, max_categories: int | None) -> ColumnStatistics:
    """Statistics of all rows of the training splits.

    Args:
        rows: Some thousand at a time; values that are not numbers in a numeric column are passed over.
        min_count: How often a category must occur.
        max_categories: Of a column; null: any number.

    Raises:
        UserError: If the number of columns is not the same everywhere.
    """
    categories: list[Counter[str]] = []
    moments: list[_Moments] = []
    for found in rows:
        for counter, column in _paired(categories, found.get(CATEGORICAL, ()), CATEGORICAL, Counter):
            for value, times in zip(*column, strict=True):
                if (name := category(value)) is not None:
                    counter[name] += times
        for moment, column in _paired(moments, found.get(NUMERIC, ()), NUMERIC, _Moments):
            moment.add(column)
    return ColumnStatistics(
        tuple(tuple(_vocabulary(counter, min_count, max_categories)) for counter in categories),
        tuple(moment.mean for moment in moments),
        tuple(moment.deviation for moment in moments),
    )


def category(value: Any) -> str | None:
    """The name of a category, which is the same for 3, 3.0, "3" and [3]; null: the value is missing."""
    value = single(value)
    return None if is_missing(value) else tidy(str(value))


def single(value: Any) -> Any:
    """What a list of one value holds, as Parquet files have it; others as they are."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def column_of_numbers(values: Sequence[Any]) -> np.ndarray:
    """The raw values of a numeric column [N] in double precision; NaN where one is missing.

    Raises:
        UserError: If one is no finite number.
    """
    if all(type(value) in (float, int) for value in values):  # as typed files have them, which are the long ones
        with suppress(OverflowError):
            found = np.array(values, dtype=np.float64)
            if not np.isinf(found).any():
                return found
    return np.array([number(value) for value in values], dtype=np.float64)


def number(value: Any) -> float:
    """A raw value of a numeric column; NaN where it is missing.

    Raises:
        UserError: If it is no finite number.
    """
    value = single(value)
    if is_missing(value) or (isinstance(value, str) and value.strip().lower() == "nan"):
        return math.nan
    found = numbers(value, np.float64, wanted="a number", cure=_NO_NUMBER)
    if found.ndim:
        in_text = isinstance(value, str) and not value.lstrip().startswith("[")
        cure = f": {shown(value)}; write one without blanks" if in_text else "; give each a column of its own"
        raise UserError(f"must be one number, found {found.size}{cure}")
    return float(found)


class _Moments:
    """Count, mean and sum of squared deviations of what was added, joined by Chan's formula, which stays exact."""

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0.0, 0.0, 0.0

    def add(self, column: CountedColumn) -> None:
        numbers, times = _good(column.values), np.asarray(column.counts, dtype=np.float64)
        there = ~np.isnan(numbers)
        numbers, times = numbers[there], times[there]
        if not (more := float(times.sum())):
            return
        mean = float(np.average(numbers, weights=times))
        gap, count = mean - self.mean, self.count + more
        with np.errstate(over="ignore"):  # a deviation without end, by which all numbers are alike
            self._squares += float((times * (numbers - mean) ** 2).sum()) + gap * gap * self.count * more / count
        self.mean += gap * more / count
        self.count = count

    @property
    def deviation(self) -> float:
        found = math.sqrt(self._squares / self.count) if self.count else 0.0
        return found if found > 1e-12 * max(abs(self.mean), 1.0) else 1.0


def _good(values: Sequence[Any]) -> np.ndarray:
    """Those of a column that are numbers, and NaN for others: whoever encodes them says in which row they stand."""
    try:
        return column_of_numbers(values)
    except UserError:
        return np.array([_number_or_none(value) for value in values])


def _number_or_none(value: Any) -> float:
    try:
        return number(value)
    except UserError:
        return math.nan


def _paired(
    kept: list[Any], columns: Sequence[CountedColumn], name: str, new: type
) -> Iterator[tuple[Any, CountedColumn]]:
    if not kept:
        kept += [new() for _ in columns]
    if columns and len(columns) != len(kept):
        raise UserError(
            f"data sets give {len(kept)} and {len(columns)} {name} columns; give as many in each, in the same order"
        )
    return zip(kept, columns, strict=bool(columns))


def _vocabulary(counter: Counter[str], min_count: int, most: int | None) -> list[str]:
    names = sorted((name for name, count in counter.items() if count >= min_count), key=lambda n: (-counter[n], n))
    return names[:most]
