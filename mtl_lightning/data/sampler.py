"""Which rows each step reads: a pure function of seed, epoch and rank."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from torch.utils.data import DistributedSampler

from mtl_lightning.data.schedules import Schedule


class Rows(NamedTuple):
    """What this process reads of a data set in one step.

    Attributes:
        indices: Row numbers.
        shares: See :class:`mtl_lightning.data.Batch`.
    """

    indices: list[int]
    shares: dict[str, float]


Plan = dict[str, Rows]
"""The rows of one step, by data set."""

Counts = Mapping[str, Mapping[str, np.ndarray]]
"""Number of labels of each example [N], by data set and task."""


class StepSampler(DistributedSampler[Plan]):
    """Plans the steps of a training epoch.

    A step's global batch is cut from a permutation of the data set, and each process takes every ``num_replicas``-th row
    of it: an epoch's pass shows no example twice. A last batch with fewer rows than processes is left out.

    It is a ``DistributedSampler`` because it does that class's work: Lightning sets its epoch and leaves it in place.

    Args:
        counts: Number of labels of each example; its lengths are the sizes of the data sets.
        batch_sizes: Examples a step and process, by data set.
        schedule: Which data sets appear in which step.
        seed: Of permutations and schedule.
        rank: Of this process.
        num_replicas: Number of processes.
        sizes: Number of examples, by data set.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        counts: Counts,
        batch_sizes: Mapping[str, int],
        schedule: Schedule,
        seed: int,
        rank: int = 0,
        num_replicas: int = 1,
    ) -> None:
        self.sizes = sizes
        self.counts = counts
        self.global_batch_sizes = {name: size * num_replicas for name, size in batch_sizes.items()}
        self.schedule = schedule
        self.seed = seed
        self.rank = rank
        self.num_replicas = num_replicas
        self.epoch = 0
        self.num_batches = {name: self._num_batches(name) for name in sizes}

    def __len__(self) -> int:
        return self.schedule.num_steps(self.num_batches)

    def __iter__(self) -> Iterator[Plan]:
        batches = {name: self._batches(name) for name in self.sizes}
        for names in self.schedule.steps(self.num_batches, self.seed, self.epoch):
            yield self._plan({name: next(batches[name]) for name in names})

    def _num_batches(self, name: str) -> int:
        full, rest = divmod(self.sizes[name], self.global_batch_sizes[name])
        return full + (rest >= self.num_replicas)

    def _batches(self, name: str) -> Iterator[np.ndarray]:
        """Global batches without end, pass after pass, each pass shuffled anew."""
        number = list(self.sizes).index(name)
        size = self.global_batch_sizes[name]
        for turn in range(1 << 62):
            random = np.random.default_rng([self.seed, self.epoch, number, turn])
            order = random.permutation(self.sizes[name])
            for i in range(self.num_batches[name]):
                yield order[i * size : (i + 1) * size]

    def _plan(self, step: Mapping[str, np.ndarray]) -> Plan:
        totals: dict[str, int] = {}
        for name, rows in step.items():
            for task, counts in self.counts[name].items():
                totals[task] = totals.get(task, 0) + int(counts[rows].sum())
        plan = {}
        for name, rows in step.items():
            local = rows[self.rank :: self.num_replicas]
            shares = {
                task: int(counts[local].sum()) * self.num_replicas / totals[task]
                for task, counts in self.counts[name].items()
                if totals[task]
            }
            plan[name] = Rows(local.tolist(), shares)
        return plan


class SequentialSampler(DistributedSampler[Plan]):
    """Plans an evaluation: each example once, one data set after another, in order.

    Processes take turns; they may differ by one example and so by one step.

    Args:
        sizes: Number of examples, by data set.
        batch_sizes: Examples a step, by data set.
        rank: Of this process.
        num_replicas: Number of processes.
    """

    def __init__(
        self, sizes: Mapping[str, int], batch_sizes: Mapping[str, int], rank: int = 0, num_replicas: int = 1
    ) -> None:
        self.batches = [
            (name, rows[start : start + batch_sizes[name]])
            for name, size in sizes.items()
            for rows in [range(rank, size, num_replicas)]
            for start in range(0, len(rows), batch_sizes[name])
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Plan]:
        for name, rows in self.batches:
            yield {name: Rows(list(rows), {})}

    def set_epoch(self, epoch: int) -> None:
        """Every epoch is the same."""
