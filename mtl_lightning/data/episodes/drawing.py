"""The episodes of training, epoch after epoch, and those of an evaluation."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mtl_lightning.data.episodes.pool import Pool
from mtl_lightning.data.episodes.supports import Supports


class EpisodeRest(NamedTuple):
    """Where an epoch stands whose start was cut into other batches.

    Attributes:
        drawn: Number of its episodes that were drawn.
    """

    drawn: int


class EpisodePasses:
    """Batches of episodes, of all processes together; each episode follows from the epoch's key and its number alone.

    Rows are ordered so that every ``num_replicas``-th one, from any of the first on, make whole episodes.

    Args:
        pool: What they are drawn from.
        batch_size: Episodes of a batch and process.
        num_replicas: Number of processes.

    Attributes:
        sizes: Number of rows of each batch of a pass, of all processes.
    """

    def __init__(self, pool: Pool, batch_size: int, num_replicas: int) -> None:
        self._pool = pool
        self._num_replicas = num_replicas
        self._episodes = batch_size * num_replicas
        size = pool.form.size
        number = -(-(pool.settings.per_epoch or max(pool.num_rows // size, 1)) // self._episodes)
        self.sizes = np.full(number, self._episodes * size, dtype=np.int64)

    def draws(
        self, sizes: Sequence[int], skip: int, key: Sequence[int], rest: EpisodeRest | None = None
    ) -> Iterator[np.ndarray]:
        """The rows of each draw; arguments as of :meth:`.passes.Passes.draws`."""
        start = self.rest(sizes, skip, key, rest).drawn
        for number in sizes[skip:]:
            stop = start + number * self._episodes
            rows = np.stack([self._pool.draw([*key, episode]) for episode in range(start, stop)])
            yield rows.reshape(-1, self._num_replicas, rows.shape[1]).transpose(0, 2, 1).ravel()
            start = stop

    def rest(
        self, sizes: Sequence[int], number: int, key: Sequence[int], rest: EpisodeRest | None = None
    ) -> EpisodeRest:
        """Where the epoch stands after some draws; arguments as of :meth:`.passes.Passes.rest`."""
        return EpisodeRest((0 if rest is None else rest.drawn) + int(sum(sizes[:number])) * self._episodes)


class EpisodeList:
    """The episodes of an evaluation: the same ones each time, on any number of processes.

    Args:
        pool: What they are drawn from.
        key: Of the random numbers.
        supports: What their support sets are drawn from; null: the same as query sets.
    """

    def __init__(self, pool: Pool, key: Sequence[int], supports: Supports | None = None) -> None:
        self._pool = pool
        self._supports = supports
        self._key = list(key)
        self.form = pool.form
        self.number = pool.settings.evaluated

    def batches(self, batch_size: int, rank: int, num_replicas: int) -> list[np.ndarray]:
        """The rows that a process reads in each step, none where only others have episodes left.

        Args:
            batch_size: Episodes of a step and process.
            rank: Of the process.
            num_replicas: Number of processes.
        """
        drawn = [self._pool.draw([*self._key, episode]) for episode in range(rank, self.number, num_replicas)]
        steps = -(-self.number // (batch_size * num_replicas))
        parts = [drawn[step * batch_size : (step + 1) * batch_size] for step in range(steps)]
        return [np.concatenate(part) if part else np.empty(0, dtype=np.int64) for part in parts]

    def supports(self, rows: Sequence[int]) -> dict[str, list[int]]:
        """Rows of the support sets that other data sets give, by data set; see :class:`.Supports`.

        Args:
            rows: Those of some query sets.
        """
        return {} if self._supports is None else self._supports.draw(rows, self._key)
