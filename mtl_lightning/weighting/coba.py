"""CoBa, the convergence balancer: weights from the slopes of the validation losses."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.weighting.arguments import at_least, positive
from mtl_lightning.weighting.base import LossWeighting

_SMALLEST = torch.finfo(torch.float32).tiny


class CoBa(LossWeighting):
    r"""Lets all tasks converge at the same time, and holds back a task that starts to diverge.

    At validation t, the slope :math:`\alpha_i(t)` of task i is that of the least-squares line through its last N
    validation losses, each divided by the task's first. From the slopes come, for K tasks, the relative convergence
    score (slow tasks first), the absolute convergence score (diverging tasks last), and the divergence factor, which
    goes from the former to the latter when the worst slope rises:

    .. math::
        \mathrm{RCS}_i &= \mathrm{softmax}_i \frac{K \alpha_i(t)}{\sum_j |\alpha_j(t)|}, \qquad
        \mathrm{ACS}_i = \mathrm{softmax}_i \frac{-N \alpha_i(t)}{\sum_{s=t-N+1}^t |\alpha_i(s)|}, \\
        \mathrm{DF} &= \min\Bigl(t \, \mathrm{softmax}_t \frac{-\tau t \, \alpha_{\max}(t)}
        {\sum_{s=1}^t |\alpha_{\max}(s)|}, 1\Bigr), \qquad \alpha_{\max}(t) = \max_i \alpha_i(t), \\
        \omega_i &= \mathrm{DF} \cdot \mathrm{RCS}_i + (1 - \mathrm{DF}) \, \mathrm{ACS}_i.

    The weights of the tasks present sum to 1. They are equal until validation W. A task with fewer than two validation
    losses among the last N has no slope; it takes the mean weight. A loss that is not finite counts as missing. The
    first loss of a task, which the others are divided by, must not be negative: steps of such a task are skipped.

    Needs: validation losses, several times a run; each validation is one point.

    Reference: Gong et al., "CoBa: Convergence Balancer for Multitask Finetuning of Large Language Models" (EMNLP 2024),
    the definitions of RCS, ACS and DF. Difference: the authors take a point from one validation batch after each
    training step, this a whole validation, hence smaller N and W. In the divergence factor t counts from W and absolute
    slopes are summed, as in the authors' code; what that code adds to the formula, another softmax and a lower bound of
    the weights, is left out. The factor looks back to W, so the state grows by one number at each validation.

    Helps: where tasks converge at different times and one would overfit: a rising validation loss lowers the weight.
    Fails: with few validations: weights are equal until W of them, and rest on the last N. Weights sum to 1, where
    those of equal weighting sum to T, so plain SGD needs a larger learning rate.

    Args:
        tasks: Names of the K tasks.
        window: N, at least 2. The authors recommend 2 to 5 times W.
        warmup_validations: W, at least 2.
        tau: :math:`\tau`, above 0. The authors' is 5.

    >>> import torch
    >>> weighting, tasks = CoBa(["fast", "slow"]), torch.tensor([0, 1])
    >>> weighting.on_validation_end(torch.tensor([1.0, 1.0]), tasks)
    >>> weighting.on_validation_end(torch.tensor([0.5, 0.9]), tasks)
    >>> weighting.weights / 2
    tensor([0.2086, 0.7914])
    """

    domain = "a first validation loss of at least 0"
    weights: Tensor
    first: Tensor
    history: Tensor
    slopes: Tensor
    worst: Tensor
    num_validations: int

    def __init__(self, tasks: Sequence[str], window: int = 5, warmup_validations: int = 2, tau: float = 5.0) -> None:
        super().__init__(tasks)
        self.warmup_validations = at_least(2, "warmup_validations", warmup_validations)
        self.tau = positive("tau", tau)
        shape = (len(self.tasks), at_least(2, "window", window))
        self.register_buffer("weights", torch.ones(len(self.tasks)))
        self.add_state("first", torch.full(shape[:1], torch.nan, dtype=torch.float64))
        self.add_state("history", torch.full(shape, torch.nan, dtype=torch.float64))
        self.add_state("slopes", torch.full(shape, torch.nan, dtype=torch.float64))
        self.add_state("worst", torch.zeros(0, dtype=torch.float64))
        self.add_state("num_validations", 0)

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        weights = self.weights[tasks]
        return (weights / weights.sum() * losses).sum()

    def on_validation_end(self, losses: Tensor, tasks: Tensor) -> None:
        newest = torch.full_like(self.first, torch.nan)
        newest[tasks] = losses.double().where(losses.isfinite(), torch.nan)
        self.first = torch.where(self.first.isnan(), newest, self.first)
        self.history = _shifted(self.history, newest / self.first.clamp(min=_SMALLEST))
        self.num_validations += 1
        if self.num_validations >= self.warmup_validations:
            self._weigh()
        self.weights.masked_fill_((self.first < 0).to(self.weights.device), torch.nan)

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return self.weights[tasks].isnan()

    def _weigh(self) -> None:
        """Sets the weights of the tasks that have a slope; they sum to the number of these tasks."""
        self.slopes = _shifted(self.slopes, _slopes(self.history))
        judged = ~self.slopes[:, -1].isnan()
        if not judged.any():
            return
        slopes = self.slopes[judged]
        self.worst = torch.cat([self.worst, slopes[:, -1].max().reshape(1)])
        relative = torch.softmax(_in_mean_sizes(slopes[:, -1]), 0)
        absolute = torch.softmax(-_in_mean_sizes(slopes)[:, -1], 0)
        divergence = torch.softmax(-self.tau * _in_mean_sizes(self.worst), 0)[-1]
        factor = (len(self.worst) * divergence).clamp(max=1)
        weights = torch.ones_like(self.first)
        weights[judged] = len(slopes) * (factor * relative + (1 - factor) * absolute)
        self.weights.copy_(weights.clamp(min=_SMALLEST))


def _shifted(window: Tensor, newest: Tensor) -> Tensor:
    return torch.cat([window[:, 1:], newest.unsqueeze(1)], dim=1)


def _slopes(points: Tensor) -> Tensor:
    """Slopes of the least-squares lines through the points of each row [K, N], NaN where missing or fewer than two."""
    steps = torch.arange(points.shape[1], dtype=points.dtype).where(~points.isnan(), torch.nan)
    steps = steps - steps.nanmean(1, keepdim=True)
    return (steps * points).nansum(1) / steps.square().nansum(1)


def _in_mean_sizes(slopes: Tensor) -> Tensor:
    """Slopes divided by the mean of their absolute values along the last dimension, NaN where missing."""
    return slopes / slopes.abs().nanmean(-1, keepdim=True).clamp(min=torch.finfo(slopes.dtype).tiny)
