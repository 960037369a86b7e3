"""How good a model is after few examples, and after more."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from mtl_lightning.adapt.choosing import choose, learn, predict, score_of
from mtl_lightning.adapt.examples import Examples
from mtl_lightning.adapt.learners import Learner
from mtl_lightning.errors import UserError
from mtl_lightning.intervals import t_interval
from mtl_lightning.tasks import Task
from mtl_lightning.tasks.label_scores import AGREEMENTS

_USUAL = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_PARTS = 5
"""Into how many parts the examples of a draw are divided at most to choose by."""


class Point(NamedTuple):
    """A place on the curve.

    Attributes:
        shots: Number of examples of each label.
        scores: Main metric of each draw.
        mean: Of the draws.
        low: Of the 95 % interval of the mean over draws, within the metric's bounds; not a number where all examples
            are drawn, which is done once.
        high: The same.
    """

    shots: int
    scores: list[float]
    mean: float
    low: float
    high: float


def shots_of(examples: Examples, judged: Examples | None, asked: Sequence[int] | None) -> list[int]:
    """How many examples of each label a draw may have: some must be left to be judged by.

    Args:
        examples: To learn from.
        judged: To be judged by; null: those that are left.
        asked: What the user wants; null: 1, 2, 5, 10 and so on.

    Raises:
        UserError: If there are not so many.
    """
    fewest = min(map(len, examples.by_label()), default=0)
    most = fewest if judged is not None else fewest - 1
    if asked is None:
        return [number for number in _USUAL if number <= most]
    if asked and asked[-1] > most:
        left = "" if judged is not None else ", and one must be left to be judged by (or give --test)"
        raise UserError(f"--shots: a label has {fewest} examples{left}; ask for at most {most}")
    return list(asked)


def curve(
    learner: Learner, judged: Examples | None, shots: Sequence[int], draws: int, generator: torch.Generator
) -> Iterator[Point]:
    """Draws examples, learns from them, and is judged by the others.

    Args:
        learner: What learns.
        judged: What it is judged by; null: the examples that were not drawn.
        shots: Numbers of examples of each label.
        draws: How many times each.
        generator: Of the draws.
    """
    everything, rest = learner.examples.labelled, judged or learner.examples
    for number in shots:
        scores: list[float] = []
        for _ in range(draws):
            rows = learner.examples.draw(number, generator)
            if scores and len(rows) == len(everything):
                break  # there is but one way to draw them all
            values = learn(learner, rows, choose(learner, rows, generator, _PARTS, scored=False).at)
            left = [row for row in rest.labelled if rest is judged or row not in rows]
            scores.append(score_of(learner.task, predict(learner, values, rest, left)))
        found, (least, most) = t_interval(np.asarray(scores)), _bounds(learner.task)
        yield Point(number, scores, float(found.mean), max(float(found.low), least), min(float(found.high), most))


def _bounds(task: Task) -> tuple[float, float]:
    """Between which values the main metric lies, as far as it says so."""
    if task.main_metric in AGREEMENTS:
        return -1.0, 1.0
    metric = dict(task.metrics().items()).get(task.main_metric)
    least, most = (getattr(metric, f"plot_{end}_bound", None) for end in ("lower", "upper"))
    return -math.inf if least is None else least, math.inf if most is None else most
