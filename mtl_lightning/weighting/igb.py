"""IGB, improvable gap balancing: more weight to losses that are still far from zero."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.weighting.arguments import at_least
from mtl_lightning.weighting.base import LossWeighting
from mtl_lightning.weighting.log_losses import log_losses


class IGB(LossWeighting):
    r"""Weighs the logarithm of each loss by what is left of the loss since an early epoch.

    The objective over the T tasks present is

    .. math::
        \sum_t \lambda_t \log \ell_t, \qquad
        \lambda_t = \frac{T \exp(\ell_t / \bar\ell_t)}{\sum_i \exp(\ell_i / \bar\ell_i)},

    where the weights are no function of the losses, and :math:`\bar\ell_t` is the task's mean loss in epoch
    ``base_epoch``: the gap from a loss to its ideal value, 0, in a unit of its own. Until that epoch has ended, all
    :math:`\lambda_t` are 1. A task that misses it, or has a mean of zero there, takes the next epoch, and counts as
    :math:`\ell_t / \bar\ell_t = 1` until then. Losses must be positive: a loss of zero weighs 0, a step with a negative
    one is skipped.

    Reference: Dai, Fei and Lu, "Improvable Gap Balancing for Multi-Task Learning" (UAI 2023), IGBv1, section 3.
    Difference: none where all tasks are always present; the epoch is counted from 1 (the ``base_epoch`` of the authors'
    code from 0). The second method of the paper, a reinforcement-learning agent that finds the weights, is left out.

    Helps: where losses have different units and some tasks lag: each counts by its relative decrease, and the more, the
    less of its loss is gone. Fails: ratios of 0 and 1 give weights of 0.54 and 1.46, so that it stays close to the sum
    of the logarithms. A loss that cannot approach zero, because of noise, keeps its weight.

    Args:
        tasks: Names of the K tasks.
        base_epoch: The epoch of the mean losses, counted from 1.

    >>> import torch
    >>> weighting, tasks = IGB(["a", "b"], base_epoch=1), torch.tensor([0, 1])
    >>> weighting.on_epoch_end(torch.tensor([2.0, 2.0]), tasks)
    >>> losses = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> torch.autograd.grad(weighting(losses, tasks), losses)
    (tensor([0.7551, 0.6225]),)
    """

    domain = "losses of at least 0"
    means: Tensor
    num_epochs: int

    def __init__(self, tasks: Sequence[str], base_epoch: int = 2) -> None:
        super().__init__(tasks)
        self.base_epoch = at_least(1, "base_epoch", base_epoch)
        self.register_buffer("means", torch.zeros(len(self.tasks)))
        self.add_state("num_epochs", 0)

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        means = self.means[tasks].to(losses)
        gaps = (losses.detach() / means).clamp(max=torch.finfo(losses.dtype).max)
        weights = len(losses) * torch.softmax(torch.where(means > 0, gaps, 1.0), 0)
        return (weights * log_losses(losses)).sum()

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses < 0

    @torch.no_grad()
    def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
        self.num_epochs += 1
        if self.num_epochs >= self.base_epoch:
            means = self.means[tasks]
            self.means[tasks] = torch.where((means > 0) | ~(losses > 0), means, losses.to(means))
