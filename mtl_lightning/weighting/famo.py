"""FAMO: fast adaptive multitask optimization."""

from collections.abc import Mapping, Sequence
from math import log

import torch
from torch import Tensor

from mtl_lightning.weighting.arguments import by_name, not_negative, positive
from mtl_lightning.weighting.base import LossWeighting
from mtl_lightning.weighting.log_losses import log_losses

_EPSILON = 1e-8
_DECAYS = (0.9, 0.999)


class FAMO(LossWeighting):
    r"""Decreases the logarithms of all losses at the same rate, as MGDA would, at the price of a second forward pass.

    With logits :math:`w`, and over the tasks present, the objective and what is learned from the next losses are

    .. math::
        c \sum_t z_t \log d_t, \qquad z = \mathrm{softmax}(w), \qquad d_t = \ell_t - b_t + 10^{-8}, \qquad
        c = \Bigl( \sum_t z_t / d_t \Bigr)^{-1}

        \delta_t = \log d_t^\text{before} - \log d_t^\text{after}, \qquad
        w \leftarrow \mathrm{Adam}(w, J^\top \delta + \gamma w), \qquad J = \partial z / \partial w,

    where c is no function of the losses, so that the weights sum to 1. Losses must be at least their minima :math:`b`:
    a step with a loss below is skipped, and nothing is learned from a step after which one is.

    Needs: the losses of the same batch after the step, a second forward pass.

    Reference: Liu, Feng, Stone and Liu, "FAMO: Fast Adaptive Multitask Optimization" (NeurIPS 2023), algorithm 2.
    Difference: a task that is missing from a step keeps its logit and its state of Adam, as if the step had not been.
    The authors' code also clips the gradient to norm 1: set the trainer's ``gradient_clip_val``.

    Helps: with many tasks on one data set, where a backward pass for each is too expensive; it balances relative
    decreases, whatever the units. It reaches the front from all starts of ``experiments/toy`` (with ``gamma`` 0).
    Fails: where losses are noisy: the weights learn from how one batch's losses change in one step. A loss close to its
    minimum gets a large weight. In ``experiments/multimnist`` it was shown to be worse than equal weights, at the same
    learning rate.

    Args:
        tasks: Names of the K tasks.
        learning_rate: Of the logits, above 0.
        gamma: :math:`\gamma`, the decay of the logits, at least 0. The paper's algorithm has 1e-3, its code 1e-5 in the
            experiments.
        min_losses: Lower bounds :math:`b_t` of the losses, by name; 0 for tasks not named.

    >>> import torch
    >>> weighting, tasks = FAMO(["a", "b"]), torch.tensor([0, 1])
    >>> losses = torch.tensor([1.0, 3.0], requires_grad=True)
    >>> torch.autograd.grad(weighting(losses, tasks), losses)
    (tensor([0.7500, 0.2500]),)
    >>> weighting.on_step_end(torch.tensor([0.5, 3.0]), tasks)
    >>> weighting.logits
    tensor([-0.0250,  0.0250])
    """

    needs_losses_after = True
    domain = "losses of at least their `min_losses`"
    min_losses: Tensor
    logits: Tensor
    first_moments: Tensor
    second_moments: Tensor
    num_updates: Tensor
    logs_before: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        learning_rate: float = 0.025,
        gamma: float = 1e-3,
        min_losses: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(tasks)
        self.learning_rate = positive("learning_rate", learning_rate)
        self.gamma = not_negative("gamma", gamma)
        minima = by_name("min_losses", min_losses or {}, self.tasks, default=0.0)
        self.register_buffer("min_losses", minima, persistent=False)
        for name in ("logits", "first_moments", "second_moments", "logs_before"):
            self.register_buffer(name, torch.zeros_like(minima))
        self.register_buffer("num_updates", torch.zeros_like(minima, dtype=torch.int64))

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        gaps, weights = self._gaps(losses, tasks), torch.softmax(self.logits[tasks], 0)
        logs = log_losses(gaps)
        self.logs_before[tasks] = logs.detach().to(self.logs_before)
        return (weights * logs).sum() / (weights / gaps.detach()).sum()

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return self._gaps(losses, tasks) < 0

    @torch.no_grad()
    def on_step_end(self, losses: Tensor, tasks: Tensor) -> None:
        logits, weights = self.logits[tasks], torch.softmax(self.logits[tasks], 0)
        change = self.logs_before[tasks] - log_losses(self._gaps(losses, tasks)).to(logits)
        gradient = weights * (change - (weights * change).sum()) + self.gamma * logits
        good = change.isfinite().all()
        step = self._adam(torch.where(good, gradient, 0.0), tasks, good)
        self.logits[tasks] = torch.where(good, logits - self.learning_rate * step, logits)

    def _gaps(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses - self.min_losses[tasks] + _EPSILON

    def _adam(self, gradient: Tensor, tasks: Tensor, good: Tensor) -> Tensor:
        """The direction of Adam, for the tasks present alone; its state changes only if ``good``, a scalar."""
        self.num_updates[tasks] += good.to(self.num_updates)
        num_updates = self.num_updates[tasks].to(gradient)
        before = self.first_moments[tasks], self.second_moments[tasks]
        first = torch.where(good, torch.lerp(gradient, before[0], _DECAYS[0]), before[0])
        second = torch.where(good, torch.lerp(gradient.square(), before[1], _DECAYS[1]), before[1])
        self.first_moments[tasks], self.second_moments[tasks] = first, second
        mean, square = (
            moment / -torch.expm1(num_updates * log(decay))
            for moment, decay in zip((first, second), _DECAYS, strict=True)
        )
        return mean / (square.sqrt() + _EPSILON)
