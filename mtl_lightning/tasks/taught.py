"""What a task learns from a teacher of the same task."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.errors import UserError, shown

Reading = Callable[[Any], Any]
"""Makes of a teacher's logits those that a student compares its own with."""


class Taught:
    """A task that may learn from a teacher; by default it has no soft loss, and learns from labels alone.

    Attributes:
        is_taught: Whether a teacher teaches it, so that examples without labels count, too.
    """

    is_taught: bool = False

    def read_teacher(self, teacher: Any) -> Reading:
        """How the logits of a teacher are read as this task's.

        Args:
            teacher: The :class:`Task` of that name in a trained model.

        Raises:
            UserError: If this kind of task has no soft loss, or the teacher predicts something else.
        """
        raise UserError(f"{type(self).__name__} has no soft loss")

    def soft_loss(self, logits: Any, taught: Any, mask: Tensor | None, temperature: float) -> Tensor:
        """Mean over all places, labelled or not, of the loss to what a teacher predicts, in float32; a scalar.

        Args:
            logits: What ``forward`` returned.
            taught: The teacher's, as ``read_teacher`` reads them; without gradients.
            mask: True at real positions [B, L], for tasks of the ``tokens`` level.
            temperature: T; it divides logits before they become probabilities.
        """
        raise NotImplementedError

    def num_places(self, target: Any) -> int:
        """How many places an encoded label that fits has, missing or not: what the soft loss is the mean over."""
        return int(np.size(target))


def read_as_it_is(student: Any, teacher: Any) -> Reading:
    """Where the outputs of a task mean the same in all models.

    Raises:
        UserError: If the teacher's is another kind of task.
    """
    refuse_another_kind(student, teacher)
    return lambda logits: logits


def refuse_another_kind(student: Any, teacher: Any) -> None:
    """Raises :class:`UserError` unless one of two tasks is of the other's kind."""
    related = isinstance(teacher, type(student)) or isinstance(student, type(teacher))
    if not related or student.level != teacher.level:
        raise UserError(f"the teacher's is a {type(teacher).__name__}, not a {type(student).__name__}")


def reordered(order: Tensor | None) -> Reading:
    """Puts outputs [..., C] in another order, which goes to each device once; null: leaves them as they are."""
    if order is None:
        return lambda logits: logits
    on = lru_cache(order.to)
    return lambda logits: logits[..., on(logits.device)]


def order_of(labels: Sequence[str], teacher: Sequence[str]) -> Tensor | None:
    """Places of the labels in a teacher's outputs; null: they are in the same order.

    Raises:
        UserError: If the teacher does not know exactly these.

    >>> order_of(["a", "b"], ["b", "a"])
    tensor([1, 0])
    """
    if more := [name for name in labels if name not in teacher]:
        raise UserError(f"the teacher does not know the label {shown(more[0])}; it knows {shown(list(teacher))}")
    if fewer := [name for name in teacher if name not in labels]:
        raise UserError(f"the teacher knows the label {shown(fewer[0])} too; name its labels: {shown(list(teacher))}")
    return None if list(labels) == list(teacher) else torch.tensor([list(teacher).index(name) for name in labels])
