"""K-fold cross-validation: splits by folds."""

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from datasets import Dataset
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.data.sources.splits import Split, check_column, values_of
from mtl_lightning.errors import UserError, shown

_warn = rank_zero_only(logging.getLogger(__name__).warning)


class FoldSplit(Split):
    """By folds, for cross-validation: each row is in the test split of one of ``num_folds`` runs.

    scikit-learn draws the folds (``KFold``, ``StratifiedKFold``, ``GroupKFold`` or ``StratifiedGroupKFold``, shuffled),
    by a seed of their own, so that they stay the same whatever the run's seed is. Rows of other folds than those of the
    validation and test splits are the training split. ``compare --folds`` runs every fold.

    Args:
        num_folds: K.
        test: Number of the fold that is the test split, from 0; null: there is none.
        val: Number of the fold that is the validation split, from 0; null: the one after ``test``.
        seed: Of the folds.
        stratify: Column whose values are spread alike over the folds, say that of a task's labels.
        group: Column whose values keep rows together: those of a speaker, say, are all in one fold.

    Raises:
        UserError: If the numbers do not fit, or leave no fold to train on.
    """

    def __init__(
        self,
        num_folds: int = 5,
        test: int | None = 0,
        val: int | None = None,
        seed: int = 0,
        stratify: str | None = None,
        group: str | None = None,
    ) -> None:
        least = 2 if test is None else 3
        if num_folds < least:
            folds = "for training and validation" if test is None else "for training, validation and test"
            raise UserError(f"`num_folds` must be at least {least} ({folds}), found {num_folds}")
        for name, fold in (("test", test), ("val", val)):
            if fold is not None and not 0 <= fold < num_folds:
                raise UserError(f"`{name}` must be the number of a fold, 0 to {num_folds - 1}, found {fold}")
        if seed < 0:
            raise UserError(f"`seed` must be at least 0, found {seed}")
        self.num_folds = num_folds
        self.test = test
        self.val = (0 if test is None else (test + 1) % num_folds) if val is None else val
        if self.test == self.val:
            raise UserError(f"`val` and `test` must be different folds, found {self.val} for both")
        self.seed = seed
        self.stratify = stratify
        self.group = group
        self.columns = tuple(name for name in (stratify, group) if name is not None)

    def divide(self, table: Dataset) -> dict[str, Dataset]:
        folds = self._folds(table)
        held_out = {"val": self.val} | ({} if self.test is None else {"test": self.test})
        rows = {"train": np.flatnonzero(~np.isin(folds, list(held_out.values())))}
        rows |= {name: np.flatnonzero(folds == fold) for name, fold in held_out.items()}
        return {name: table.select(found) for name, found in rows.items()}

    def _folds(self, table: Dataset) -> np.ndarray:
        """The fold of each row [N]; -1 for a line that is no example."""
        for column, purpose in ((self.stratify, "stratify by"), (self.group, "group by")):
            if column is not None:
                check_column(column, table, purpose)
        strata, groups = self._column(table, self.stratify), self._column(table, self.group)
        good = np.flatnonzero([bad is None for _, bad in values_of(table, table.column_names[0])])
        self._check(len(good), strata[good], groups[good])
        folds = np.full(len(table), -1)
        for fold, (_, rows) in enumerate(self._drawn(len(good), strata[good], groups[good])):
            folds[good[rows]] = fold
        return folds

    def _column(self, table: Dataset, name: str | None) -> np.ndarray:
        """The values of a column as texts [N]."""
        if name is None:
            return np.zeros(len(table), dtype=int)
        texts = []
        for row, (value, bad) in enumerate(values_of(table, name)):
            if isinstance(value, list | dict):
                raise UserError(f"row {row + 1}, column '{name}': folds need a text or a number, found {shown(value)}")
            if name == self.group and bad is None and value in (None, ""):
                raise UserError(f"row {row + 1}, column '{name}', by which folds are grouped, is empty; fill it in")
            texts.append("" if value is None else str(value))
        return np.array(texts)

    def _check(self, num_rows: int, strata: np.ndarray, groups: np.ndarray) -> None:
        """Refuses what scikit-learn cannot divide."""
        if self.group is not None and (found := len(set(groups))) < self.num_folds:
            raise UserError(f"`num_folds` is {self.num_folds}, but column '{self.group}' has {found} different values")
        if num_rows < self.num_folds:
            raise UserError(f"`num_folds` is {self.num_folds}, but there are {num_rows} rows")
        if self.stratify is None:
            return
        counts = Counter(strata.tolist())
        rare = [value for value, count in counts.items() if count < self.num_folds]
        if len(rare) == len(counts):
            raise UserError(
                f"no value of column '{self.stratify}' stands in {self.num_folds} rows, so that folds cannot be "
                f"stratified by it; take a column of labels, or leave `stratify` out"
            )
        if rare:
            some = ", ".join(shown(value) for value in rare[:6]) + (", …" if len(rare) > 6 else "")
            _warn(
                f"column '{self.stratify}': not every fold has a row with {some}, which stand in fewer rows than folds"
            )

    def _drawn(self, num_rows: int, strata: np.ndarray, groups: np.ndarray) -> Iterator[tuple[Any, Any]]:
        from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

        kinds = {
            (False, False): KFold,
            (True, False): StratifiedKFold,
            (False, True): GroupKFold,
            (True, True): StratifiedGroupKFold,
        }
        draw = kinds[self.stratify is not None, self.group is not None]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")  # said by name above
            folds = draw(self.num_folds, shuffle=True, random_state=self.seed)
            yield from folds.split(np.zeros(num_rows), strata, groups if self.group is not None else None)
