"""Ways to make splits out of one table."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Literal

import numpy as np
from datasets import Dataset
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.data.readers.bad_rows import visible
from mtl_lightning.data.readers.tables import chunks
from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.rows.bad_lines import BAD

Value = str | int | float
"""A value of a column, as a configuration gives it."""

_warn = rank_zero_only(logging.getLogger(__name__).warning)


class Split(ABC):
    """Divides one table into ``train``, ``val`` and ``test``.

    Attributes:
        columns: Names of the columns that it reads.
    """

    columns: tuple[str, ...] = ()

    @abstractmethod
    def divide(self, table: Dataset) -> dict[str, Dataset]:
        """The tables of the splits that are there."""


class ColumnSplit(Split):
    """By the values of a column: texts or numbers, ``2024`` and ``"2024"`` alike.

    Args:
        column: Its name.
        train: The value, or values, of training rows.
        val: The value, or values, of validation rows.
        test: The value, or values, of test rows; null: there is no test split.
        rest: The split of all rows with other values, say ``train`` beside ``{val: 3, test: 4}``; null: they are in
            none.
    """

    def __init__(
        self,
        column: str,
        train: Value | list[Value] = "train",
        val: Value | list[Value] | None = "val",
        test: Value | list[Value] | None = "test",
        rest: Literal["train", "val", "test"] | None = None,
    ) -> None:
        self.column = column
        self.columns = (column,)
        self.rest = rest
        given = {name: value for name, value in (("train", train), ("val", val), ("test", test)) if value is not None}
        self.values = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
        self._split_of: dict[str, str] = {}
        for name, values in self.values.items():
            for value in values:
                if self._split_of.setdefault(_key(value), name) != name:
                    both = f"{self._split_of[_key(value)]} and {name}"
                    raise UserError(f"`split`: its parts must be different values, found {value!r} for {both}")

    def divide(self, table: Dataset) -> dict[str, Dataset]:
        check_column(self.column, table, "split by")
        rows: dict[str, list[int]] = {name: [] for name in [*self.values, *([self.rest] if self.rest else [])]}
        others: Counter[str] = Counter()
        said: Counter[str] = Counter()
        for row, (value, bad) in enumerate(values_of(table, self.column)):
            found = self._split_of.get(_key(value), self.rest)
            name = "train" if bad is not None else found  # a line that says nothing is told of once
            if name is None:
                others[shown(value)] += 1
            else:
                rows[name].append(row)
                said[shown(value)] += bad is None
        self._check(rows, said, others)
        return {name: table.select(found) for name, found in rows.items()}

    def _check(self, rows: Mapping[str, Sequence[int]], said: Counter[str], others: Counter[str]) -> None:
        """Refuses an empty split, and counts rows that are in none."""
        for name in rows:
            if not rows[name]:
                found = ", ".join(sorted([*said, *others])[:12])
                wanted = " or ".join(repr(str(value)) for value in self.values.get(name, ["anything else"])[:12])
                raise UserError(f"column '{self.column}' never says {wanted}, the {name} split; it says {found}")
        if others:
            counts = ", ".join(f"{value} ({count:,})" for value, count in others.most_common(12))
            whole = others.total() + said.total()
            hint = "" if self.rest else "; `rest: train` would take them in"
            _warn(f"{others.total():,} of {whole:,} rows are in no split: column '{self.column}' says {counts}{hint}")


def _key(value: Any) -> str:
    """Equal for a number and its text."""
    if isinstance(value, bool) or str(value).lower() in ("true", "false"):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def check_column(column: str, table: Dataset, purpose: str) -> None:
    """Raises :class:`UserError` if a table has not the column."""
    if column not in visible(table):
        raise UserError(f"no column '{column}' to {purpose}; {did_you_mean(column, visible(table))}")


def values_of(table: Dataset, column: str) -> Iterator[tuple[Any, str | None]]:
    """The value of each row, and what is wrong with the row."""
    found = (value for chunk in chunks(table, column) for value in chunk)
    if BAD not in table.column_names:
        return zip(found, repeat(None))
    return zip(found, (bad for chunk in chunks(table, BAD) for bad in chunk), strict=True)


class FractionSplit(Split):
    """At random, by a seed of its own, so that the splits stay the same whatever the run's seed is.

    Args:
        val: Fraction of the rows for validation; above 0: one row at least.
        test: Fraction of the rows for testing; above 0: one row at least.
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
            size = max(round(fraction * len(table)), fraction > 0)
            if size:
                splits[name] = table.select(np.sort(order[start : start + size]))
            start += size
        return {"train": table.select(np.sort(order[start:])), **splits}
