"""Support sets that come from other data sets than the query sets."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtl_lightning.data.episodes.settings import Episodes
from mtl_lightning.errors import UserError


class Supports:
    """Draws the support sets of a data set's episodes from other data sets, as many examples of each.

    A support set follows from the rows of its query set and a key: it is the same on any process, and in a run that is
    resumed. An example that is in the query set is not in the support set.

    Args:
        settings: What an episode is.
        usable: Whether each row may be drawn [N], since it has labels to adapt by, by data set.
        name: Of the data set that query sets are from.
        split: Of the data sets, for messages.

    Raises:
        UserError: If a data set has too few examples.
    """

    def __init__(self, settings: Episodes, usable: Mapping[str, np.ndarray], name: str, split: str) -> None:
        self._shots, self._queries, self._name = settings.shots, settings.queries, name
        self._usable = {each: np.flatnonzero(may) for each, may in usable.items()}
        for each, rows in self._usable.items():
            needed = self._shots + (self._queries if each == name else 0)
            if len(rows) < needed:
                what = "`shots` + `queries`" if each == name else "`shots`"
                raise UserError(
                    f"data.episodes.{name}, split '{split}': a support set needs {needed} ({what}) labelled examples "
                    f"of '{each}', found {len(rows)}"
                )

    def draw(self, rows: Sequence[int], key: Sequence[int]) -> dict[str, list[int]]:
        """Rows of the support sets by data set, one set after the other.

        Args:
            rows: Those of the query sets, one set after the other.
            key: Of the random numbers.
        """
        found: dict[str, list[int]] = {each: [] for each in self._usable}
        for start in range(0, len(rows), self._queries):
            query = rows[start : start + self._queries]
            random = np.random.default_rng([*key, *query])
            for each, usable in self._usable.items():
                drawn = random.choice(usable, self._shots + self._queries * (each == self._name), replace=False)
                if each == self._name:
                    drawn = drawn[~np.isin(drawn, query)][: self._shots]
                found[each] += drawn.tolist()
        return found
