"""What a task returns in an evaluation: a class of one's own may return anything, and one line says what is wrong."""

from typing import Any

import numpy as np
from torch import Tensor

from mtl_lightning.errors import UserError, shown


def as_score(value: Any, what: str) -> float:
    """A score as a number: that of one element, where it is an array or a tensor; a truth value is 0 or 1.

    Args:
        value: What a metric computed.
        what: It is, for messages.

    Raises:
        UserError: If it is no real number.

    >>> as_score(np.float32(0.5), "accuracy"), as_score(np.array([True]), "accuracy")
    (0.5, 1.0)
    """
    try:
        if isinstance(value, Tensor | np.ndarray) and not _is_complex(value):
            return float(value.item())
        if not isinstance(value, str | bytes) and not _is_complex(value):
            return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass
    raise UserError(f"{what} must be one real number (NaN where it is not defined), found {_found(value)}")


def check_loss(loss: Any, task: str) -> None:
    """Raises :class:`UserError` if the loss of a task is no scalar tensor of real numbers."""
    if not isinstance(loss, Tensor) or loss.dim() or not loss.is_floating_point():
        raise UserError(
            f"the loss of task '{task}' must be a scalar tensor of a floating-point type, found {_found(loss)}"
        )


def check_correct(correct: Any, task: str, size: int) -> None:
    """Raises :class:`UserError` if what a task calls right is no tensor of a number an example [B]."""
    if not isinstance(correct, Tensor) or correct.shape != (size,) or _is_complex(correct):
        raise UserError(
            f"`correct` of task '{task}' must return a tensor of the shape [{size}], a number for each example, or "
            f"None, found {_found(correct)}"
        )


def _is_complex(value: Any) -> bool:
    return value.is_complex() if isinstance(value, Tensor) else bool(np.iscomplexobj(value))


def _found(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} of shape {list(value.shape)} and type {value.dtype}"
    return shown(value)
