"""Which rows each step reads: a pure function of seed, epoch and rank."""

from collections.abc import Iterator, Mapping
from itertools import count, zip_longest
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

    A step's global batch is cut from a permutation of the data set, and each process takes every ``num_replicas``-th
    row of it: an epoch's pass shows no example twice. A last batch with fewer rows than processes is left out. So that
    little is padded, examples of similar length share a batch: each stretch of ``bucket`` batches of the permutation is
    sorted by length before it is cut, and the order of its batches is shuffled.

    It is a ``DistributedSampler`` because it does that class's work: Lightning sets its epoch and leaves it in place.

    Args:
        lengths: Length of each example [N], by data set.
        counts: Number of labels of each example [N], by data set and task.
        batch_sizes: Examples a step and process, by data set.
        schedule: Which data sets appear in which step.
        seed: Of permutations and schedule.
        rank: Of this process.
        num_replicas: Number of processes.
        bucket: Number of batches to sort together; 1: batches are drawn regardless of length.
    """

    def __init__(
        self,
        lengths: Mapping[str, np.ndarray],
        counts: Counts,
        batch_sizes: Mapping[str, int],
        schedule: Schedule,
        seed: int,
        rank: int = 0,
        num_replicas: int = 1,
        bucket: int = 50,
    ) -> None:
        self.lengths = lengths
        self.counts = counts
        self.global_batch_sizes = {name: size * num_replicas for name, size in batch_sizes.items()}
        self.schedule = schedule
        self.seed = seed
        self.rank = rank
        self.num_replicas = num_replicas
        self.epoch = 0
        self.bucket = bucket
        self.num_batches = {name: self._num_batches(name) for name in lengths}

    def __len__(self) -> int:
        return self.schedule.num_steps(self.num_batches)

    def __iter__(self) -> Iterator[Plan]:
        batches = {name: self._batches(name) for name in self.lengths}
        for names in self.schedule.steps(self.num_batches, self.seed, self.epoch):
            yield self._plan({name: next(batches[name]) for name in names})

    def _num_batches(self, name: str) -> int:
        full, rest = divmod(len(self.lengths[name]), self.global_batch_sizes[name])
        return full + (rest >= self.num_replicas)

    def _batches(self, name: str) -> Iterator[np.ndarray]:
        """Global batches without end, pass after pass, each pass shuffled anew."""
        number = list(self.lengths).index(name)
        for turn in count():
            random = np.random.default_rng([self.seed, self.epoch, number, turn])
            order = random.permutation(len(self.lengths[name]))
            stretch = self.global_batch_sizes[name] * self.bucket
            for start in range(0, len(order), stretch):
                yield from self._cut(name, order[start : start + stretch], random)

    def _cut(self, name: str, rows: np.ndarray, random: np.random.Generator) -> Iterator[np.ndarray]:
        """Batches of similar length, in random order; the last, smaller one stays last."""
        size = self.global_batch_sizes[name]
        full = len(rows) // size * size
        rows[:full] = rows[:full][np.argsort(self.lengths[name][rows[:full]], kind="stable")]
        for i in random.permutation(full // size):
            yield rows[i * size : (i + 1) * size]
        if len(rows) - full >= self.num_replicas:
            yield rows[full:]

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
    """Plans an evaluation: each example once, longest first, the data sets in turn.

    Processes take turns; they may differ by one example and so by one step.

    Args:
        lengths: Length of each example [N], by data set; examples of one length keep their order.
        batch_sizes: Examples a step, by data set.
        rank: Of this process.
        num_replicas: Number of processes.
    """

    def __init__(
        self, lengths: Mapping[str, np.ndarray], batch_sizes: Mapping[str, int], rank: int = 0, num_replicas: int = 1
    ) -> None:
        batches = [
            [(name, rows[start : start + batch_sizes[name]]) for start in range(0, len(rows), batch_sizes[name])]
            for name, length in lengths.items()
            for rows in [np.argsort(-length, kind="stable")[rank::num_replicas]]
        ]
        self.batches = [batch for turn in zip_longest(*batches) for batch in turn if batch is not None]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Plan]:
        for name, rows in self.batches:
            yield {name: Rows(rows.tolist(), {})}

    def set_epoch(self, epoch: int) -> None:
        """Every epoch is the same."""
