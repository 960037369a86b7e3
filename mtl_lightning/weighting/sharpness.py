"""What methods that see gradients at perturbed parameters have in common; see ``Weighting.perturbs_parameters``."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.around import Around
from mtl_lightning.weighting.base import GramianWeighting, Weighting

Values: TypeAlias = Sequence[Tensor]
"""A tensor for each of some parameters, of its shape."""


class SharpnessAware(Around):
    r"""A method around another one, which sees each task's gradient where that task's loss is larger.

    Before the other one is asked, the executor moves shared parameters and a task's head by what ``perturb`` and
    ``perturb_head`` say, computes the task's gradient there, and puts the parameters back as they were, one task after
    another. Heads train with the gradients of their own losses there. Where a step is made of several batches, or of
    parts on several processes, all of them count as one, so that a task is moved once.

    ``forward`` sees the Gramian of these gradients [T, T] and the losses there [T]; with ``sees_original``, that of the
    gradients at the original parameters and of their changes [2T, 2T], and the losses at both [2T], and gives as many
    weights: those of the gradients, then those of the changes. Unless a subclass has its own, the other method weighs
    the gradients there.

    Args:
        tasks: Names of the K tasks.
        weighting: The other one: a Gramian method of one batch, or one of constant weights.
        rho: How far parameters are moved: the length of all shared parameters' change, and of a head's; positive.
        adaptive: Whether to measure each parameter's change relative to it, as ASAM does.
    """

    perturbs_parameters = True

    sees_original: ClassVar[bool] = False
    """Whether the gradient of each task at the original parameters is computed, and not that of their sum alone."""

    def __init__(
        self, tasks: Sequence[str], weighting: Callable[[Sequence[str]], Weighting], rho: float, adaptive: bool
    ) -> None:
        super().__init__(tasks, weighting)
        self.rho, self.adaptive = positive("rho", rho), adaptive
        check_inner(self.weighting)

    @property
    def gradients_per_task(self) -> int:
        return 1 + self.sees_original

    @abstractmethod
    def perturb(self, parameters: Values, gradients: Values, loss_at: Callable[[Values], Tensor]) -> Values:
        """By how much to move the shared parameters for one task.

        Args:
            parameters: The shared parameters, not to be changed.
            gradients: Of the task's loss, or of the sum of all losses without ``sees_original``; of any length.
            loss_at: The task's loss, a scalar, with the shared parameters moved by what it is given, in evaluation
                mode. It takes a forward pass.
        """

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        number = len(tasks)
        if not self.sees_original:
            return weights_of(self.weighting, gramian, losses, tasks)
        there = gramian.view(2, number, 2, number).sum((0, 2))
        return weights_of(self.weighting, there, losses[number:], tasks).repeat(2)

    def perturb_head(self, parameters: Values, gradients: Values) -> Values:
        """By how much to move the parameters of one task's head.

        Args:
            parameters: Its parameters, not to be changed.
            gradients: Of the task's loss, of any length.
        """
        return self.ascent(parameters, gradients)

    def ascent(self, parameters: Values, gradients: Values) -> Values:
        r"""The change of length :math:`\rho` that increases a loss most, to first order; 0 if gradients are 0.

        .. math:: \rho \, g / \lVert g \rVert, \qquad \text{adaptive:} \quad
            \rho \, \theta^2 g / \lVert \, |\theta| \, g \rVert

        Args:
            parameters: :math:`\theta`.
            gradients: :math:`g`, one for each.
        """
        if not parameters:
            return []
        found, sizes = list(gradients), [parameter.detach().abs() for parameter in parameters if self.adaptive]
        if self.adaptive:
            found = list(torch._foreach_mul(found, sizes))
        length = torch.stack(torch._foreach_norm(found)).norm()
        if self.adaptive:
            found = list(torch._foreach_mul(found, sizes))
        known = length.isfinite() & (length > 0)
        factor = self.rho / torch.where(known, length, 1.0)
        changes = [torch.where(known, each, 0.0) for each in found]
        torch._foreach_mul_(changes, factor)
        return changes


def check_inner(weighting: Weighting) -> None:
    """Refuses what cannot be asked for weights of perturbed gradients.

    Raises:
        UserError: If so.
    """
    name = type(weighting).__name__
    if not isinstance(weighting, GramianWeighting) and weighting.constant_weights is None:
        raise UserError(f"`weighting` must be a Gramian method, or one of constant weights, found {name}")
    if weighting.batches_compared > 1:
        raise UserError(f"`weighting`: {name} compares several batches, which does not go with perturbed gradients")
    if weighting.perturbs_parameters:
        raise UserError(f"`weighting`: {name} perturbs parameters itself; give one of the two alone")


def weights_of(weighting: Weighting, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
    """What the other method weighs gradients by [T], float64."""
    if isinstance(weighting, GramianWeighting):
        found: Tensor = weighting(gramian, losses, tasks)
        return found
    constant = weighting.constant_weights or {}
    return torch.tensor([constant[weighting.tasks[task]] for task in tasks.tolist()], dtype=torch.float64)
