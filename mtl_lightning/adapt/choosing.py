"""When to stop: by how well examples are predicted that were left out."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from mtl_lightning.adapt.examples import Examples
from mtl_lightning.adapt.learners import Learner, Values


class Choice(NamedTuple):
    """What was chosen.

    Attributes:
        at: A number of steps, say.
        loss: Mean loss of the examples that were left out, each once; null: none could be.
        score: Mean over the parts of the task's main metric; null: as above.
        num_parts: How many parts were left out, each once.
    """

    at: int
    loss: float | None = None
    score: float | None = None
    num_parts: int = 0


def choose(learner: Learner, rows: Sequence[int], generator: torch.Generator, most: int | None = None) -> Choice:
    """Leaves parts of some examples out, learns from the rest, and takes the choice with the least loss of those.

    Args:
        learner: What learns.
        rows: Numbers of the examples.
        generator: Of how they are divided.
        most: How many parts at most; null: as many as the learner says.
    """
    parts = learner.examples.folds(rows, most or learner.folds, generator)
    losses, scores, number = dict[int, float](), dict[int, float](), 0
    for part in parts:
        rest, number = [row for row in rows if row not in set(part)], number + len(part)
        for at, values in learner.learnt(rest):
            loss, score = judge(learner, values, learner.examples, part)
            losses[at] = losses.get(at, 0.0) + loss * len(part)
            scores[at] = scores.get(at, 0.0) + score * len(part)
    if not parts:
        return Choice(learner.usual)
    best = min(losses, key=lambda at: (losses[at], at))
    return Choice(best, losses[best] / number, scores[best] / number, len(parts))


def learn(learner: Learner, rows: Sequence[int], at: int) -> Values:
    """What is learnt from some examples up to a choice."""
    return next(values for found, values in learner.learnt(rows) if found >= at)


def judge(learner: Learner, values: Values, examples: Examples, rows: Sequence[int]) -> tuple[float, float]:
    """Loss and main metric on some examples.

    Args:
        learner: What has learnt.
        values: What it has learnt.
        examples: Those that it has, or others.
        rows: Their numbers.
    """
    task = learner.task
    logits, targets = learner.outputs(values, examples, rows)
    logits = task.with_targets(logits, targets)
    loss = float(task.loss(logits, targets))
    if task.main_metric == "loss":
        return loss, loss
    metrics = task.metrics().to(targets.device)
    task.update(metrics, logits, targets)
    return loss, float(metrics.compute()[task.main_metric])
