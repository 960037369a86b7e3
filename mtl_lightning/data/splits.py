"""Ways to make splits out of one table."""

from abc import ABC, abstractmethod

import numpy as np
from datasets import Dataset

from mtl_lightning.errors import UserError, did_you_mean


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
        self.values = {"train": train, "val": val, "test": test}

    def divide(self, table: Dataset) -> dict[str, Dataset]:
        if self.column not in table.column_names:
            raise UserError(f"no column '{self.column}' to split by; {did_you_mean(self.column, table.column_names)}")
        found = np.array(table[self.column], dtype=object)
        splits = {}
        for name, value in self.values.items():
            if value is None:
                continue
            rows = np.flatnonzero(found == value)
            if len(rows) == 0:
                choices = ", ".join(sorted({str(v) for v in found}))
                raise UserError(f"column '{self.column}' never says '{value}', the {name} split; it says {choices}")
            splits[name] = table.select(rows)
        return splits


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
