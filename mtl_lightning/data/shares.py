"""What part each batch has in the means over all labels of an optimizer step."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

Numbers = Mapping[str, Mapping[str, np.ndarray]]
"""Of what all processes draw in a step: a number for each example [n], by data set and task."""

Shares = Mapping[str, dict[str, float]]
"""By data set and task; see :class:`mtl_lightning.data.Batch`."""


class Drawn(NamedTuple):
    """What a step has to learn from.

    Attributes:
        labels: Numbers of labels.
        places: Numbers of labels, present or missing, of tasks that a teacher teaches.
    """

    labels: Numbers
    places: Numbers


def shares_of(window: Sequence[Drawn], part: slice, num_replicas: int) -> Iterator[tuple[Shares, Shares]]:
    """Shares of what a process reads in each of the steps that make one step of the optimizer.

    They are in the mean over all of its labels, a mean over the steps in which a task appears; those of soft losses are
    in the mean over all of its places, over the same steps.

    Args:
        window: The steps.
        part: Which of the examples drawn the process reads.
        num_replicas: Number of processes.

    Yields:
        Shares of labels, and of soft losses.
    """
    totals = [Drawn(*map(_totals, step)) for step in window]  # type: ignore[arg-type]
    appearances = Counter(task for found in totals for task in {**found.labels, **found.places})
    wholes = [sum((Counter(found[kind]) for found in totals), Counter()) for kind in (0, 1)]
    for step, found in zip(window, totals, strict=True):
        labels, places = (
            {task: Fraction(num_replicas * appearances[task], wholes[kind][task]) for task in found[kind]}
            for kind in (0, 1)
        )
        yield _parts(step.labels, labels, part), _parts(step.places, places, part)


def _totals(numbers: Numbers) -> Counter[str]:
    """Sums by task, of those that have any."""
    totals: Counter[str] = Counter()
    for of_tasks in numbers.values():
        totals.update({task: int(each.sum()) for task, each in of_tasks.items()})
    return +totals


def _parts(numbers: Numbers, each: Mapping[str, Fraction], part: slice) -> dict[str, dict[str, float]]:
    """The share of what a process reads, where a label has the share ``each``."""
    return {
        name: {task: float(int(of[part].sum()) * each[task]) for task, of in of_tasks.items() if task in each}
        for name, of_tasks in numbers.items()
    }
