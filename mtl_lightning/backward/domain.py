"""Losses that a weighting is not defined for."""

from collections.abc import Iterable

from torch import Tensor

from mtl_lightning.backward.step import Setup, Tasks
from mtl_lightning.weighting import LossWeighting


def undefined(setup: Setup, tasks: Tasks, losses: Tensor) -> tuple[str, ...]:
    """Names the tasks that the weighting has no weight for, and what it needs.

    Args:
        setup: What is trained.
        tasks: The tasks present.
        losses: Their losses [T], where the weighting computes: a loss weighting on the device, others on the host.
    """
    weighting = setup.weighting
    if not weighting.domain:
        return ()
    bad = weighting.undefined(losses, setup.index(tasks, losses.device)).tolist()
    needs = f"{type(weighting).__name__} needs {weighting.domain}"
    return tuple(f"weight of '{task}' ({needs})" for task, is_bad in zip(tasks, bad, strict=True) if is_bad)


def undefined_parts(setup: Setup, parts: Iterable[tuple[Tasks, Tensor]]) -> tuple[str, ...]:
    """The same for the batches of an optimizer step of a loss weighting, which weighs each by its own losses."""
    if not isinstance(setup.weighting, LossWeighting):
        return ()
    return tuple(name for tasks, losses in parts for name in undefined(setup, tasks, losses))
