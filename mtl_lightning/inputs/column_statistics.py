"""What is learnt of the columns of a table before a model reads them."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.numbers import numbers
from mtl_lightning.raw_labels import is_missing, tidy

NUMERIC, CATEGORICAL = "numeric", "categorical"
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
    """The name of a category, which is the same for 3, 3.0 and "3"; null: the value is missing."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def number(value: Any) -> float:
    """A raw value of a numeric column; NaN where it is missing.

    Raises:
        UserError: If it is no finite number.
    """
    if is_missing(value) or (isinstance(value, str) and value.strip().lower() == "nan"):
        return math.nan
    found = numbers(value, np.float64)
    if found.ndim:
        raise UserError(f"must be one number, found {found.size}")
    return float(found)


class _Moments:
    """Count, mean and sum of squared deviations of what was added, by Chan's update, which stays exact."""

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, column: CountedColumn) -> None:
        for value, times in zip(*column, strict=True):
            try:
                read = number(value)
            except UserError:
                continue  # whoever encodes it says in which row it stands
            if math.isnan(read):
                continue
            gap, before = read - self.mean, self.count
            self.count += times
            self.mean += gap * times / self.count
            self._squares += gap * gap * before * times / self.count

    @property
    def deviation(self) -> float:
        found = math.sqrt(self._squares / self.count) if self.count else 0.0
        return found if found > 1e-12 * max(abs(self.mean), 1.0) else 1.0


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
