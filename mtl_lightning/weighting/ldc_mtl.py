"""LDC-MTL: weights that training moves to where the weighted losses are alike."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.arguments import not_negative
from mtl_lightning.weighting.base import LossWeighting

_ROUNDING = 1e-6


class LDCMTL(LossWeighting):
    r"""Trains the weights with the model, on an objective in which differences of the weighted losses cost.

    With weights :math:`w = \mathrm{softmax}(v)`, at first equal and never below a bound, and losses :math:`\ell_t`
    divided by :math:`L_t^{(0)} / \min_i L_i^{(0)}`, the ratio of their first values, the objective is

    .. math:: \frac{\sum_t w_t \ell_t}{\sum_t w_t} + \lambda \sum_t |w_t \ell_t - w_{t+1} \ell_{t+1}| ,

    of which the model and :math:`v` both take the gradient. The first term is the lower problem, a weighted sum; the
    second the upper one, the loss discrepancy of tasks that follow each other.

    Reference: Xiao, Dong, Chen and Ji, "LDC-MTL: Balancing Multi-Task Learning through Scalable Loss Discrepancy
    Control" (2025); the paper was not at hand: objective and bound are those of its authors' program for NYUv2, where
    weights are clamped to 0.2 at least, and 0.8 at most. Difference: there they come from one layer on the features,
    which a weighting does not see, here from trained numbers, as in the program for CelebA. Tasks that are missing from
    a step are left out; the first loss above zero counts. Differences within rounding, such as all in the first step,
    cost nothing: their sign is chance.

    Helps: where losses of different units are to fall in step, at the price of one backward pass. Fails: the first term
    alone moves weight to the task whose loss is least, against which only :math:`\lambda` and the bound stand: without
    a bound, with the default :math:`\lambda`, one of two quadratic losses takes it all. Which tasks are neighbours
    depends on their order. First losses that happen to be small mislead the scales.

    Args:
        tasks: Names of the K tasks, in the order in which neighbours are compared.
        lam: :math:`\lambda`, at least 0. The authors' programs have 0.01 to 0.1.
        least: The bound, as a share of equal weights; at least 0 and below 1.

    >>> losses = torch.tensor([1.0, 4.0], requires_grad=True)
    >>> torch.autograd.grad(LDCMTL(["a", "b"])(losses, torch.arange(2)), losses)
    (tensor([0.5000, 0.1250]),)
    """

    domain = "losses of at least 0"
    first: Tensor

    def __init__(self, tasks: Sequence[str], lam: float = 0.05, least: float = 0.6) -> None:
        super().__init__(tasks)
        self.lam = not_negative("lam", lam)
        if not 0 <= least < 1:
            raise UserError(f"`least` must be at least 0 and below 1, found {least}")
        self.least = least
        self.logits = nn.Parameter(torch.zeros(len(self.tasks)))
        self.register_buffer("first", torch.zeros(len(self.tasks)))

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        values = losses * torch.where(losses < 0, torch.nan, 1.0).to(losses)
        usable = torch.where(losses.isfinite(), losses, 0.0).detach().clamp(min=0).to(self.first)
        first = torch.where(self.first[tasks] > 0, self.first[tasks], usable)
        self.first[tasks] = first
        least = torch.where(self.first > 0, self.first, torch.inf).min()
        ratios = torch.where(first > 0, first / least, 1.0)
        weights = self.logits[tasks].softmax(0).clamp(min=self.least / len(tasks))
        weighted = weights * values / ratios.to(values)
        gaps, size = weighted.diff(), _ROUNDING * weighted.detach().abs().sum()
        return weighted.sum() / weights.sum() + self.lam * torch.where(gaps.abs() > size, gaps, 0.0).abs().sum()

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses < 0
