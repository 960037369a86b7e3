"""UW-SO, soft optimal uncertainty weighting: a softmax of the inverse losses."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.base import LossWeighting


class UWSO(LossWeighting):
    r"""Weighs the T tasks present by a softmax of their inverse losses.

    The objective is

    .. math::
        \sum_t \omega_t \ell_t, \qquad
        \omega_t = \frac{\exp(1 / (\tau \ell_t))}{\sum_i \exp(1 / (\tau \ell_i))},

    where the weights are no function of the losses, so that they sum to 1. Losses must be positive: one of exactly zero
    has nothing to gain and weighs 0, a step with a negative one is skipped.

    Reference: Kirchdorfer et al., "Analytical Uncertainty-Based Loss Weighting in Multi-Task Learning" (GCPR 2024),
    section 3, soft optimal uncertainty weighting. Difference: a loss of zero weighs 0, where the formula would give it
    all the weight.

    Helps: where fixed weights would have to be searched: one temperature takes the place of K weights. At the best
    variances of uncertainty weighting a task weighs in inverse proportion to its loss; here nothing is trained. Fails:
    without a search for the temperature: far below the differences of the inverse losses only the task with the
    smallest loss is trained, far above all tasks weigh the same. It does not see the units of the losses. The weights
    sum to 1, so plain SGD needs a larger learning rate than for the sum of the losses.

    Args:
        tasks: Names of the K tasks.
        temperature: :math:`\tau`, above 0; the larger, the more equal the weights.

    >>> import torch
    >>> losses = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> torch.autograd.grad(UWSO(["a", "b"])(losses, torch.tensor([0, 1])), losses)
    (tensor([0.6225, 0.3775]),)
    """

    domain = "losses of at least 0"

    def __init__(self, tasks: Sequence[str], temperature: float = 1.0) -> None:
        super().__init__(tasks)
        self.temperature = positive("temperature", temperature)

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        values = losses.detach()
        inverses = (1 / values / self.temperature).clamp(max=torch.finfo(values.dtype).max)
        inverses = torch.where(values > 0, inverses, 0.0)
        shares = torch.where(values > 0, torch.exp(inverses - inverses.max()), 0.0)
        weights = shares / shares.sum().clamp(min=torch.finfo(values.dtype).tiny)
        return (torch.where(values < 0, torch.nan, weights) * losses).sum()

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses < 0
