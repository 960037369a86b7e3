"""What a loop may get wrong, in one line each."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.weighting import Weighting


class _Steps(Protocol):
    def abandon(self) -> None: ...


_Own = TypeVar("_Own", bound=_Steps)
_P = ParamSpec("_P")
_R = TypeVar("_R")


def all_or_nothing(method: Callable[Concatenate[_Own, _P], _R]) -> Callable[Concatenate[_Own, _P], _R]:
    """A part of a step after which, if an exception is raised, nothing is left of the step."""

    @wraps(method)
    def guarded(self: _Own, *arguments: _P.args, **options: _P.kwargs) -> _R:
        try:
            return method(self, *arguments, **options)
        except BaseException as error:
            self.abandon()
            explain(error)
            raise

    return guarded  # type: ignore[return-value]


def check_losses(weighting: Weighting, losses: Any, shares: Any, device: torch.device) -> None:
    """Refuses what is no mapping of the tasks' names to scalars that can be differentiated.

    Args:
        weighting: Knows the tasks.
        losses: As for ``Executor.add``.
        shares: The same.
        device: Of what trains.

    Raises:
        UserError: With the task, what was found and what to do.
    """
    if not isinstance(losses, Mapping):
        raise UserError(f"losses must be a mapping of task names to losses, found {type(losses).__name__}")
    check_names(weighting, (*losses, *shares))
    for task, loss in losses.items():
        if task not in shares:
            raise UserError(f"`shares` lacks task '{task}', of which there is a loss; add its share in the step")
        if problem := _problem(loss, device):
            raise UserError(f"the loss of task '{task}' {problem}")


def check_names(weighting: Weighting, names: Iterable[str]) -> None:
    """Refuses names that are none of the weighting's tasks.

    Raises:
        UserError: With the nearest match.
    """
    for task in names:
        if task not in weighting.tasks:
            raise UserError(f"the weighting has no task {task!r}; {did_you_mean(str(task), weighting.tasks)}")


def _problem(loss: Any, device: torch.device) -> str | None:
    if not isinstance(loss, Tensor):
        return f"must be a tensor, found {type(loss).__name__}; leave out `.item()` or `float()`"
    if loss.dim() > 0:
        return f"must be a scalar, found the shape {list(loss.shape)}; take its `.mean()` or `.sum()`"
    if not loss.is_floating_point():
        return f"must be of a floating-point type, found {loss.dtype}"
    if loss.device != device:
        return f"is on device '{loss.device}', what trains on '{device}'; move it with `.to('{device}')`"
    return None


def check_total(before: Mapping[str, float], shares: Mapping[str, float], most: float) -> None:
    """Refuses a task whose shares in one step sum to more than the whole.

    Args:
        before: The sum over the step's batches before.
        shares: Of a batch.
        most: What they may sum to on one process: the number of processes.

    Raises:
        UserError: With the task.
    """
    for task, share in shares.items():
        if task in before and before[task] + share > most * (1 + 1e-3):
            raise UserError(
                f"task '{task}' is in this step already, so its loss would count twice; give each batch its `shares`, "
                "or end the step before with `combine` and `backward` (the step that was begun is discarded)"
            )


def factor_of(loss: Any, objective: Tensor) -> Tensor:
    """What the trainer has multiplied the objective by, a scalar.

    Raises:
        UserError: If the loss is not the objective, times something.
    """
    if loss is objective:
        return torch.ones_like(objective)
    try:
        (factor,) = torch.autograd.grad(loss, objective, retain_graph=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            "`backward` takes the objective that `combine` returned (`step.objective`), perhaps times a factor, found "
            f"{'another tensor' if isinstance(loss, Tensor) else type(loss).__name__}"
        ) from error
    return factor


def explain(error: BaseException) -> None:
    """Raises what an error of torch's differentiation means here, if that is known.

    Raises:
        UserError: With what to do.
    """
    text = str(error) if type(error) is RuntimeError else ""
    if "use_reentrant" in text:
        raise UserError(
            "a part of the model is checkpointed with `use_reentrant=True`, through which the tasks' gradients cannot "
            "be taken one by one; use `torch.utils.checkpoint.checkpoint(..., use_reentrant=False)`"
        ) from error
    if "backward through the graph a second time" in text:
        raise UserError(
            "the graph of the losses was gone through before, in an earlier step or by another `backward()`; compute "
            "the losses anew for each step"
        ) from error
    if "donated" in text:
        raise UserError(
            "a part of the model was compiled to free its buffers in the first backward pass, but each task needs one; "
            "make the Executor before the model's first forward pass"
        ) from error
