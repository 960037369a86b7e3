"""A student's features that come near a teacher's, by a linear map that is learnt."""

from typing import Any

from torch import Tensor, nn

from mtl_lightning.sharing.contracts import Representation
from mtl_lightning.tasks import Task
from mtl_lightning.tasks.base import full_precision
from mtl_lightning.tasks.soft_losses import masked_mean


def width_read(model: Any) -> int:
    """Width of the features that the heads of a model read."""
    return int(model.sharing.features)


def features_loss(task: Task, linear: nn.Module, made: Any, taught: Representation | None) -> Tensor:
    """Mean squared error over features and words, or over features and examples, in float32; a scalar.

    Args:
        task: Whose head reads them.
        linear: From the student's features [..., D] to the teacher's [..., E].
        made: What the student's head reads.
        taught: What the teacher's does.
    """
    assert made is not None and taught is not None, "heads read something"
    ours, theirs = (getattr(each, task.level) for each in (made, taught))
    errors: Tensor = (full_precision(linear(ours)) - full_precision(theirs)).square().mean(-1)
    if task.level == "tokens" and not task.by_sequence:
        return masked_mean(errors, made.mask)
    if not task.by_sequence:
        return errors.mean()
    present = made.mask if task.level == "tokens" else made.given["sequences"] >= 0
    totals, numbers = (errors * present).flatten(1).sum(1), present.flatten(1).sum(1)
    mean: Tensor = (totals / numbers.clamp(min=1)).mean()
    return mean
