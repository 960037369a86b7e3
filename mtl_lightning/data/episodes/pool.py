"""What episodes are drawn from."""

from collections.abc import Sequence

import numpy as np

from mtl_lightning.data.episodes.settings import Episodes
from mtl_lightning.errors import UserError


class Pool:
    """The rows of a split by group and class, as far as episodes can be drawn from them.

    Args:
        settings: What an episode is.
        usable: Whether each row may be drawn [N]: it has labels.
        classes: Number of each row's class [N], negative where it has none; null: there are no classes.
        groups: The same of its group; null: all rows are of one.
        where: The data set and its split, for messages.

    Raises:
        UserError: If no group has enough classes with enough rows.
    """

    def __init__(
        self,
        settings: Episodes,
        usable: np.ndarray,
        classes: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        where: str = "",
    ) -> None:
        self.settings = settings
        self.form = settings.form
        self.num_rows = len(usable)
        none = np.zeros(len(usable), dtype=np.int64)
        by_group = _by_value(np.arange(len(usable)), none if groups is None else groups, usable)
        found = [list(_by_value(rows, (none if classes is None else classes)[rows], usable[rows])) for rows in by_group]
        enough = [[rows for rows in group if len(rows) >= settings.needed] for group in found]
        self._groups = [group for group in enough if len(group) >= self._num_classes]
        if not self._groups:
            self._refuse(where, found, enough)

    @property
    def _num_classes(self) -> int:
        return self.settings.ways or 1

    def draw(self, key: Sequence[int]) -> np.ndarray:
        """The rows of an episode, ordered as its form says.

        Args:
            key: Of the random numbers.
        """
        random, shots = np.random.default_rng(key), self.settings.needed - self.settings.queries
        group = self._groups[random.integers(len(self._groups))] if len(self._groups) > 1 else self._groups[0]
        chosen = random.choice(len(group), self._num_classes, replace=False) if len(group) > 1 else [0]
        rows = np.stack([random.choice(group[i], self.settings.needed, replace=False) for i in chosen])
        return np.concatenate([rows[:, :shots].ravel(), rows[:, shots:].ravel()])

    def _refuse(
        self, where: str, found: Sequence[Sequence[np.ndarray]], enough: Sequence[Sequence[np.ndarray]]
    ) -> None:
        """Says what there is too little of."""
        settings, group = self.settings, ""
        if settings.within is not None:
            group = f" of one value of '{settings.within}'"
        needed = f"{settings.shots} + {settings.queries} (`shots` + `queries`)"
        if settings.support is not None:
            needed = f"{settings.queries} (`queries`)"
        if settings.ways is None:
            most = max((len(rows) for each in found for rows in each), default=0)
            raise UserError(f"{where}: an episode needs {needed} labelled examples{group}, found at most {most}")
        most = max(map(len, enough), default=0)
        raise UserError(
            f"{where}: an episode needs {settings.ways} classes (`ways`) with {needed} examples each{group}, found at "
            f"most {most} such classes; of {max(map(len, found), default=0)} in all"
        )


def _by_value(rows: np.ndarray, values: np.ndarray, usable: np.ndarray) -> list[np.ndarray]:
    """Rows of each value that is not negative, in ascending order; those that are not usable are left out."""
    kept = usable & (values >= 0)
    rows, values = rows[kept], values[kept]
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order])) + 1
    return [part for part in np.split(rows[order], starts) if len(part)]
