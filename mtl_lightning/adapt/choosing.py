"""When to stop: by how well examples are predicted that were left out."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_lightning.adapt.examples import Examples
from mtl_lightning.adapt.learners import Learner, Values
from mtl_lightning.tasks import Task


class Predicted(NamedTuple):
    """What a task's head says of some examples.

    Attributes:
        logits: As its loss takes them.
        targets: As its loss takes them.
    """

    logits: Any
    targets: Tensor


class Choice(NamedTuple):
    """What was chosen.

    Attributes:
        at: A number of steps, say.
        loss: Mean loss of the examples that were left out, each once; null: none could be.
        score: Mean over the parts of the task's main metric; null: as above, or it was not asked for.
        num_parts: How many parts were left out, each once.
    """

    at: int
    loss: float | None = None
    score: float | None = None
    num_parts: int = 0


def choose(
    learner: Learner, rows: Sequence[int], generator: torch.Generator, most: int | None = None, scored: bool = True
) -> Choice:
    """Leaves parts of some examples out, learns from the rest, and takes the choice with the least loss of those.

    Args:
        learner: What learns.
        rows: Numbers of the examples.
        generator: Of how they are divided.
        most: How many parts at most; null: as many as the learner says.
        scored: Whether the main metric is computed, which takes longer than the loss.
    """
    parts = learner.examples.folds(rows, most or learner.folds, generator)
    if not parts:
        return Choice(learner.usual)
    predicted = dict[int, list[Predicted]]()
    for part in parts:
        left = set(part)
        for at, values in learner.learnt([row for row in rows if row not in left]):
            predicted.setdefault(at, []).append(predict(learner, values, learner.examples, part))
    sizes = [len(part) for part in parts]

    def mean(of: Callable[[Task, Predicted], float], at: int) -> float:
        pairs = zip(predicted[at], sizes, strict=True)
        return sum(of(learner.task, found) * size for found, size in pairs) / sum(sizes)

    losses = {at: mean(loss_of, at) for at in predicted}
    best = min(losses, key=lambda at: (losses[at], at))
    return Choice(best, losses[best], mean(score_of, best) if scored else None, len(parts))


def learn(learner: Learner, rows: Sequence[int], at: int) -> Values:
    """What is learnt from some examples up to a choice."""
    return next(values for found, values in learner.learnt(rows) if found >= at)


def predict(learner: Learner, values: Values, examples: Examples, rows: Sequence[int]) -> Predicted:
    """Logits and targets of some examples.

    Args:
        learner: What has learnt.
        values: What it has learnt.
        examples: Those that it has, or others.
        rows: Their numbers.
    """
    logits, targets = learner.outputs(values, examples, rows)
    return Predicted(learner.task.with_targets(logits, targets), targets)


def loss_of(task: Task, predicted: Predicted) -> float:
    """The mean loss."""
    return float(task.loss(*predicted))


def score_of(task: Task, predicted: Predicted) -> float:
    """The main metric, which takes longer to compute than the loss."""
    if task.main_metric == "loss":
        return loss_of(task, predicted)
    metrics = task.metrics().to(predicted.targets.device)
    task.update(metrics, *predicted)
    return float(metrics.compute()[task.main_metric])
