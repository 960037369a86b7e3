"""Ways to make splits out of one table."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from datasets import Dataset
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.data.readers.bad_rows import BAD, visible
from mtl_lightning.data.readers.tables import chunks
from mtl_lightning.errors import UserError, did_you_mean, shown

_warn = rank_zero_only(logging.getLogger(__name__).warning)


class Split(ABC):
    """Divides one table into ``train``, ``val`` and ``test``."""

    @abstractmethod
    def divide(self, table: Dataset) -> dict[str, Dataset]:
        """The tables of the splits that are there."""


class ColumnSplit(Split):
    """By the values of a column.

    Args:
        column: Its name.
        train: The value that marks training rows.
        val: The value that marks validation rows.
        test: The value that marks test rows; null: there is no test split.
    """

    def __init__(self, column: str, train: str = "train", val: str = "val", test: str | None = "test") -> None:
        self.column = column
        self.values = {"train": train, "val": val, **({} if test is None else {"test": test})}
        if len(set(self.values.values())) != len(self.values):
            raise UserError(f"`train`, `val` and `test` must be different values, found {self.values}")

    def divide(self, table: Dataset) -> dict[str, Dataset]:
        if self.column not in visible(table):
            raise UserError(f"no column '{self.column}' to split by; {did_you_mean(self.column, visible(table))}")
        split_of = {value: name for name, value in self.values.items()}
        rows: dict[str, list[int]] = {name: [] for name in self.values}
        others: Counter[str] = Counter()
        for row, (value, bad) in enumerate(self._values(table)):
            name = "train" if bad is not None else split_of.get(str(value))  # a line that says nothing is told of once
            if name is None:
                others[shown(value)] += 1
            else:
                rows[name].append(row)
        self._check(rows, others)
        return {name: table.select(found) for name, found in rows.items()}

    def _check(self, rows: Mapping[str, Sequence[int]], others: Counter[str]) -> None:
        """Refuses an empty split, and counts rows that are in none."""
        there = {shown(value): len(rows[name]) for name, value in self.values.items() if rows[name]}
        for name, value in self.values.items():
            if not rows[name]:
                said = ", ".join(sorted([*there, *others])[:12])
                raise UserError(f"column '{self.column}' never says '{value}', the {name} split; it says {said}")
        if others:
            said = ", ".join(f"{value} ({count:,})" for value, count in others.most_common(12))
            whole = others.total() + sum(there.values())
            _warn(f"{others.total():,} of {whole:,} rows are in no split: column '{self.column}' says {said}")

    def _values(self, table: Dataset) -> Iterator[tuple[Any, str | None]]:
        """The value of each row, and what is wrong with the row."""
        found = (value for chunk in chunks(table, self.column) for value in chunk)
        if BAD not in table.column_names:
            return zip(found, repeat(None))
        return zip(found, (bad for chunk in chunks(table, BAD) for bad in chunk), strict=True)


class FractionSplit(Split):
    """At random, by a seed of its own, so that the splits stay the same whatever the run's seed is.

    Args:
        val: Fraction of the rows for validation.
        test: Fraction of the rows for testing.
        seed: Of the permutation.
    """

    def __init__(self, val: float = 0.1, test: float = 0.1, seed: int = 0) -> None:
        if not (val >= 0 and test >= 0 and val + test < 1):
            raise UserError(f"`val` and `test` must be fractions that leave rows to train on, found {val} and {test}")
        self.fractions = {"val": val, "test": test}
        self.seed = seed

    def divide(self, table: Dataset) -> dict[str, Dataset]:
        order = np.random.default_rng(self.seed).permutation(len(table))
        splits, start = {}, 0
        for name, fraction in self.fractions.items():
            size = round(fraction * len(table))
            if size:
                splits[name] = table.select(np.sort(order[start : start + size]))
            start += size
        return {"train": table.select(np.sort(order[start:])), **splits}
