"""Probabilities of two-label tasks, in log space."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from mtl_lightning.errors import UserError
from mtl_lightning.tasks import SequenceClassification, Task
from mtl_lightning.tasks.base import full_precision


def positive_index(name: str, tasks: Mapping[str, Task]) -> int:
    """Position of the positive label of a task with two labels.

    Raises:
        UserError: If the task is of another class, or has more labels.
    """
    task = tasks[name]
    if not isinstance(task, SequenceClassification):
        raise UserError(f"needs two-label tasks (SequenceClassification), but '{name}' is a {type(task).__name__}")
    position = task.positive_index
    if position is None:
        raise UserError(f"needs two-label tasks, but '{name}' has {task.num_outputs} labels")
    return position


def positive_indices(names: Iterable[str], tasks: Mapping[str, Task]) -> dict[str, int]:
    """The same of several tasks, by name."""
    return {name: positive_index(name, tasks) for name in names}


def log_odds(logits: Tensor, positive: int) -> Tensor:
    """The log odds, log p / (1 - p), of the positive label [...], in float32 at least.

    Args:
        logits: Of the two labels [..., 2].
        positive: Position of the positive one.
    """
    logits = full_precision(logits)
    return logits[..., positive] - logits[..., 1 - positive]


def log_product(odds: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The logarithms log p and log(1 - p) of the product p of probabilities, both [...]; neither cancels nor overflows.

    Args:
        odds: The log odds of the factors, each [...].
    """
    first, *rest = odds
    found, failed = logsigmoid(first), logsigmoid(-first)
    for factor in rest:
        failed = torch.logaddexp(failed, found + logsigmoid(-factor))
        found = found + logsigmoid(factor)
    return found, failed


def two_logits(positive: int, found: Tensor, failed: Tensor) -> Tensor:
    """Logits [..., 2] from log p and log(1 - p), both [...]."""
    return torch.stack([failed, found] if positive == 1 else [found, failed], -1)
