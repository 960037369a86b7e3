"""Reads the rows of a table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.encoders.input_processor import PlainProcessor
from mtl_lightning.inputs.column_statistics import CATEGORICAL, ColumnStatistics, CountedRows
from mtl_lightning.inputs.tables import TableInputs


class TableProcessor(PlainProcessor):
    """Reads numeric and categorical columns of a table.

    Inputs are ``numeric`` and ``categorical``, each one column or several; a data set has one of them or both. Numbers
    may be missing, which is NaN. Categories are those of the training split; a missing one and an unknown one have
    numbers of their own. Spaces around a category do not matter, nor whether it is written 3, 3.0 or "3".

    Args:
        min_count: How often a category must occur in the training split; rarer ones are unknown.
        max_categories: How many a column may have, the most frequent; null: any number.
        hash_buckets: Above 0: unknown categories share so many numbers, by their hash, instead of one.
        statistics: Of the training split, from a checkpoint; null: they are learnt.
    """

    plain: TableInputs
    reads_missing = True
    looked_up = frozenset({CATEGORICAL})

    def __init__(
        self,
        min_count: int = 1,
        max_categories: int | None = None,
        hash_buckets: int = 0,
        statistics: ColumnStatistics | None = None,
    ) -> None:
        self.plain = TableInputs(statistics, min_count, max_categories, hash_buckets)
        self.inputs = self.plain.inputs

    def learn(self, rows: Iterable[CountedRows]) -> None:
        """Takes from the training splits what it must know of them."""
        self.plain.learn(rows)

    def collate_columns(
        self, columns: Mapping[str, Sequence[Any]], keys: Sequence[Sequence[int]] | None = None
    ) -> dict[str, Tensor]:
        return {name: torch.from_numpy(array) for name, array in self.plain.stack(columns).items()}

    def unknown(self, columns: Mapping[str, Sequence[Any]]) -> Mapping[tuple[str, int], np.ndarray]:
        return self.plain.unknown(columns)

    def signature(self) -> Any:
        return self.plain.signature()
