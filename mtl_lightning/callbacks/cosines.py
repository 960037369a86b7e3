"""Cosines between the tasks' gradients, added up over training, and which of them are a conflict."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from scipy.special import stdtrit

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_STRETCHES = 64
_BATCHES = 10
MIN_STEPS = 50
_ERROR_RATE = 0.05


class Conflict(NamedTuple):
    """Two tasks that hinder each other.

    Attributes:
        tasks: Their names.
        mean: Mean cosine between their gradients.
        margin: The mean is below zero by more than this, which noise explains.
        share: Of the steps that saw both, the share with a negative cosine.
        steps: How many steps saw both.
    """

    tasks: tuple[str, str]
    mean: float
    margin: float
    share: float
    steps: int


class Pair(NamedTuple):
    """What was seen of two tasks.

    Attributes:
        tasks: Their names.
        mean: Mean cosine between their gradients.
        share: Of the steps that saw both, the share with a negative cosine.
        steps: How many steps saw both.
    """

    tasks: tuple[str, str]
    mean: float
    share: float
    steps: int


class Part(NamedTuple):
    """What a part of training found.

    Attributes:
        first: Its first optimizer step, from 1.
        last: Its last optimizer step.
        means: Mean cosines [K, K]; NaN where no step saw both tasks.
    """

    first: int
    last: int
    means: Array


class CosineHistory:
    """Sums of cosines in at most 64 equally long stretches of training, however long it gets.

    A stretch is one optimizer step at first; whenever all are full, neighbours are joined.

    Args:
        tasks: Names of the tasks.

    >>> history = CosineHistory(["a", "b"])
    >>> for step in range(1, 101):
    ...     history.add(step, ["a", "b"], np.array([[1.0, -0.5], [-0.5, 1.0]]))
    >>> history.conflicts()
    [Conflict(tasks=('a', 'b'), mean=-0.5, margin=0.0, share=1.0, steps=100)]
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = list(tasks)
        self.steps = 0
        """How many steps were added."""
        self._first = self._last = 0
        self._length = 1
        self._totals = np.zeros((3, _STRETCHES, len(tasks), len(tasks)))  # sums, counts, counts of negative ones

    def add(self, step: int, tasks: Sequence[str], cosines: Array) -> None:
        """Takes what an optimizer step found.

        Args:
            step: Its number, from 1.
            tasks: Names of the tasks that it saw.
            cosines: Between their gradients [T, T]; NaN where a gradient is zero.
        """
        while step > self._length * _STRETCHES:
            joined = self._totals[:, 0::2] + self._totals[:, 1::2]
            self._totals = np.concatenate([joined, np.zeros_like(joined)], axis=1)
            self._length *= 2
        self.steps += 1
        self._first, self._last = self._first or step, step
        rows = np.array([self.tasks.index(task) for task in tasks])
        found = np.stack([np.nan_to_num(cosines), np.isfinite(cosines), cosines < 0])
        self._totals[:, (step - 1) // self._length, rows[:, None], rows] += found

    def parts(self, number: int) -> list[Part]:
        """Training cut into equal parts.

        Args:
            number: Of parts at most.
        """
        totals, bounds = self._cut(number)
        return [Part(*bound, _means(totals[:, part])) for part, bound in enumerate(bounds)]

    def conflicts(self) -> list[Conflict]:
        """The pairs of tasks whose mean cosine is negative beyond noise, the strongest first.

        Neighbouring steps resemble each other, so the noise of a mean is taken from the means of ten equal parts of
        training (batch means; Schmeiser, "Batch size effects in the analysis of simulation output", Operations Research
        1982). A pair is named where its mean plus a margin is below zero. The margin is the mean's standard error
        times Student's quantile, at a level such that a run without conflicts names any pair at all with a probability
        of 5 % (Bonferroni); of more, if cosines stay alike over much of such a part. Pairs seen in fewer than 50 steps
        are not judged.
        """
        totals, _ = self._cut(_BATCHES)
        _, counts, negative = totals.sum(1)
        means = _means(totals.sum(1))
        margins = _margins(totals, means)
        pairs = zip(*np.nonzero(np.triu(means + margins < 0, 1) & (counts >= MIN_STEPS)), strict=True)
        found = [
            Conflict(
                (self.tasks[i], self.tasks[j]),
                float(means[i, j]),
                float(margins[i, j]),
                float(negative[i, j] / counts[i, j]),
                int(counts[i, j]),
            )
            for i, j in pairs
        ]
        return sorted(found, key=lambda conflict: conflict.mean)

    def pairs(self) -> list[Pair]:
        """What was seen of every pair of tasks that a step saw together."""
        sums, counts, negative = self._totals.sum(1)
        return [
            Pair(
                (self.tasks[i], self.tasks[j]),
                sums[i, j] / counts[i, j],
                negative[i, j] / counts[i, j],
                int(counts[i, j]),
            )
            for i, j in zip(*np.nonzero(np.triu(counts, 1)), strict=True)
        ]

    def most_seen(self) -> int:
        """In how many steps the pair of tasks that was seen most often was seen."""
        return int(np.triu(self._totals[1].sum(0), 1).max())

    def _cut(self, number: int) -> tuple[Array, list[tuple[int, int]]]:
        """Totals [3, parts, K, K], and first and last step of each part."""
        used = np.arange(max(self._first - 1, 0) // self._length, max(self._last - 1, 0) // self._length + 1)
        groups = np.array_split(used, min(number, len(used)))
        totals = np.stack([self._totals[:, group].sum(1) for group in groups], axis=1)
        starts = [max(int(group[0]) * self._length + 1, self._first) for group in groups]
        ends = [min((int(group[-1]) + 1) * self._length, self._last) for group in groups]
        return totals, list(zip(starts, ends, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "tasks": self.tasks,
            "steps": self.steps,
            "bounds": [self._first, self._last],
            "length": self._length,
            "totals": torch.from_numpy(self._totals),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.tasks, self.steps, self._length = state["tasks"], state["steps"], state["length"]
        self._first, self._last = state["bounds"]
        self._totals = state["totals"].numpy().copy()


def _means(totals: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(totals[0] / totals[1])


def _margins(totals: Array, means: Array) -> Array:
    """What noise explains [K, K] of a negative mean; infinite where there is too little to tell."""
    counts = totals[1]
    parts = (counts > 0).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = counts / counts.sum(0)
        deviations = np.nan_to_num(weights * (totals[0] / counts - means))
        errors = np.sqrt((deviations**2).sum(0) * parts / (parts - 1))
    num_pairs = max(1, len(means) * (len(means) - 1) // 2)
    quantiles = stdtrit(np.maximum(parts - 1, 1), 1 - _ERROR_RATE / num_pairs)
    return np.where(parts > 1, quantiles * errors, np.inf)
