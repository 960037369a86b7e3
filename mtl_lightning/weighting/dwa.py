"""DWA, dynamic weight average: more weight to losses that fall slowly."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.base import LossWeighting


class DWA(LossWeighting):
    r"""Weighs a task by how little its loss fell from one epoch to the next.

    In epoch e the T tasks present weigh

    .. math::
        \lambda_t = \frac{T \exp(r_t / \tau)}{\sum_i \exp(r_i / \tau)}, \qquad
        r_t = \frac{\bar\ell_t(e - 1)}{\bar\ell_t(e - 2)},

    with the mean training losses :math:`\bar\ell` of the last two epochs; :math:`r_t = 1` until there are two, so that
    all tasks weigh 1. A task that misses an epoch keeps its ratio, and the next is to the last epoch that had the task.
    A ratio of two zeros counts as 1. Mean losses must not be negative: steps of such a task are skipped.

    Reference: Liu, Johns and Davison, "End-to-End Multi-Task Learning with Attention" (CVPR 2019), equation 7.
    Difference: none where all tasks are always present.

    Helps: where some tasks still improve while others have stalled, over many epochs. Fails: weights stay close to 1:
    ratios of 0.9 and 1 give .975 and 1.025, so that in ``experiments/toy`` it follows the path of equal weights. It
    does not see the units of the losses, and does nothing in the first two epochs.

    Args:
        tasks: Names of the K tasks.
        temperature: :math:`\tau`, above 0; the larger, the more equal the weights. The paper's is 2.

    >>> import torch
    >>> weighting, tasks = DWA(["a", "b"]), torch.tensor([0, 1])
    >>> weighting.on_epoch_end(torch.tensor([2.0, 2.0]), tasks)
    >>> weighting.on_epoch_end(torch.tensor([1.0, 2.0]), tasks)
    >>> weighting(torch.tensor([1.0, 1.0]), tasks)
    tensor(2.)
    """

    domain = "mean losses of at least 0 in each epoch"
    means: Tensor
    num_epochs: Tensor

    def __init__(self, tasks: Sequence[str], temperature: float = 2.0) -> None:
        super().__init__(tasks)
        self.temperature = positive("temperature", temperature)
        self.register_buffer("means", torch.zeros(2, len(self.tasks)))
        self.register_buffer("num_epochs", torch.zeros(len(self.tasks), dtype=torch.int64))

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        weights = len(losses) * torch.softmax(self._ratios(tasks) / self.temperature, 0)
        return (weights * losses).sum()

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return self._ratios(tasks).isnan()

    def _ratios(self, tasks: Tensor) -> Tensor:
        """What is left of the mean loss in the last epoch [T]; NaN where it is or was negative."""
        before, last = self.means[:, tasks]
        numbers = torch.finfo(before.dtype)
        left = (last / before.clamp(min=numbers.tiny)).clamp(max=numbers.max)
        left = torch.where(torch.maximum(before, last) > 0, left, 1.0)
        left = torch.where(torch.minimum(before, last) < 0, torch.nan, left)
        return torch.where(self.num_epochs[tasks] > 1, left, 1.0)

    @torch.no_grad()
    def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
        self.means[0, tasks] = self.means[1, tasks]
        self.means[1, tasks] = losses.to(self.means)
        self.num_epochs[tasks] += 1
