"""What a loop owes the weighting beyond a step, so that nothing is forgotten in silence."""

import logging
from collections.abc import Iterable, Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from mtl_lightning.backward.gradients import add_terms
from mtl_lightning.backward.misuse import check_losses, check_names
from mtl_lightning.backward.processes import is_first, mean_over_processes
from mtl_lightning.backward.step import Setup
from mtl_lightning.backward.window import shared_out
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import Weighting

_LOG = logging.getLogger(__name__)


class Contract:
    """Raises where a loop leaves out a call that the weighting needs, or its parameters from the optimizer.

    Args:
        weighting: Declares what it needs.

    Attributes:
        owes_losses: Whether losses after the optimizer step are due.
        validated: Whether it has been told of a validation.
    """

    def __init__(self, weighting: Weighting) -> None:
        self._weighting = weighting
        self.owes_losses = False
        self.validated = False
        self._untrained = any(parameter.requires_grad for parameter in weighting.parameters())
        self._before: Values | None = None

    def start_epoch(self, first: bool) -> None:
        """Says it when an epoch has ended and the weighting still waits for a validation."""
        if self._weighting.needs_validation and not self.validated and not first and is_first():
            _LOG.warning(f"{self._name} has no effect yet, as it has seen no {_VALIDATION}.")

    def start_step(self, epoch: int | None) -> None:
        """Called when an optimizer step begins.

        Args:
            epoch: The one that was started, if any.

        Raises:
            UserError: If something has been left out.
        """
        if self.owes_losses:
            raise UserError(
                f"{self._name} learns from the losses of a step's batch after it: call "
                "`executor.finish_step(losses)` after `optimizer.step()` while `executor.needs_losses_after`"
            )
        if epoch is None and (self._weighting.needs_epochs or self._weighting.needs_validation):
            needed = _VALIDATION if self._weighting.needs_validation else "the mean losses of each epoch"
            raise UserError(
                f"{self._name} learns from {needed}: call `executor.start_epoch(epoch)` when an epoch starts"
            )
        if self._before is not None and self._before.model_changed():
            before, self._before = self._before, None
            self._untrained = not before.weighting_changed()
            if self._untrained:
                raise UserError(
                    f"{self._name} has parameters of its own that no optimizer trains: give `weighting.parameters()` "
                    "to the optimizer too, or keep them as they are by `weighting.requires_grad_(False)`"
                )

    def end_step(self, setup: Setup) -> None:
        """Called when a good optimizer step's gradients are written, before the optimizer changes anything."""
        self.owes_losses = self._weighting.needs_losses_after
        if self._untrained and self._before is None:
            self._before = Values(setup)

    def tell_losses(self, setup: Setup, batches: Iterable[tuple[Mapping[str, Tensor], Mapping[str, float]]]) -> None:
        """Tells the weighting the losses after a step; see ``Executor.finish_step``."""
        totals: dict[str, Tensor] = {}
        for losses, shares in batches:
            check_losses(self._weighting, losses, shares, setup.like.device)
            add_terms(totals, {**dict.fromkeys(shares, setup.zero()), **shared_out(setup, losses, shares)})
        tasks = tuple(task for task in self._weighting.tasks if task in totals)
        if tasks:
            after = mean_over_processes(torch.stack([totals[task] for task in tasks]).detach())
            self._weighting.on_step_end(after, setup.index(tasks, after.device))
        self.owes_losses = False

    def tell_validation(self, setup: Setup, losses: Mapping[str, float | Tensor]) -> None:
        """Tells the weighting validation losses; see ``Executor.finish_validation``."""
        check_names(self._weighting, losses)
        tasks = setup.index(tuple(losses), torch.device("cpu"))
        values = torch.tensor(
            [float(loss.detach() if isinstance(loss, Tensor) else loss) for loss in losses.values()],
            dtype=torch.float64,
        )
        self._weighting.on_validation_end(values, tasks)
        self.validated = True

    @property
    def _name(self) -> str:
        return type(self._weighting).__name__


_VALIDATION = "validation losses (call `executor.finish_validation(losses)` after each validation)"


class Values:
    """What parameters held: versions tell most changes, copies those that a fused optimizer makes.

    Args:
        setup: What is trained. Of the model, its smallest parameter is copied.
    """

    def __init__(self, setup: Setup) -> None:
        model = list(chain(setup.shared, *setup.own.values()))
        smallest = min(model, key=nn.Parameter.numel, default=None)
        self._copies = [] if smallest is None else [_Copy(smallest)]
        self._versions = [(parameter, parameter._version) for parameter in model]
        self._weighting = [_Copy(p) for p in setup.weighting.parameters() if p.grad is not None]

    def model_changed(self) -> bool:
        """Whether an optimizer has changed the model since."""
        by_version = any(parameter._version != version for parameter, version in self._versions)
        return by_version or any(copy.changed() for copy in self._copies)

    def weighting_changed(self) -> bool:
        """Whether one has changed a parameter of the weighting that has a gradient, if there is one."""
        return not self._weighting or any(copy.changed() for copy in self._weighting)


class _Copy:
    def __init__(self, parameter: Tensor) -> None:
        self._parameter, self._version, self._value = parameter, parameter._version, parameter.detach().clone()

    def changed(self) -> bool:
        return self._parameter._version != self._version or not torch.equal(self._parameter, self._value)
