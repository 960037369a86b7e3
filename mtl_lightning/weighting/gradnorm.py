"""GradNorm: weights trained until gradients are as long as the tasks' progress asks for."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.adam import adam_step
from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import Array


class GradNorm(GramianWeighting):
    r"""Trains the weights so that tasks that learn slowly have longer gradients.

    With the norms :math:`G_i = |w_i g_i|`, their mean :math:`\bar G`, and the relative inverse training rates
    :math:`r_i = \frac{\ell_i / \ell_i(0)}{\mathrm{mean}_j\, \ell_j / \ell_j(0)}`, each step of Adam lowers
    :math:`\sum_i |G_i - \bar G r_i^\alpha|`, the second terms held constant, and scales the weights to sum to K. They
    start from 1 and are used before they are updated.

    Reference: Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks"
    (ICML 2018), equation 2 and algorithm 1. Difference: weights do not fall below 0; Adam has no epsilon; tasks present
    keep the sum of their weights, and a task without a gradient its weight; :math:`\ell_i(0)` is the first loss that is
    not zero. Losses must not be negative: a step with one that is, is skipped.

    Helps: where gradients have different lengths and tasks learn at different speeds. It reaches the front from all
    starts of ``experiments/toy``. Fails: it looks at lengths, not at angles: gradients that conflict stay in conflict.
    The weights start from 1 and move by about ``learning_rate`` a step, so that large differences of scale take many
    steps.

    Args:
        tasks: Names of the K tasks.
        alpha: Strength of the pull to equal training rates; at least 0. The paper has 1.5 where tasks differ much, 0.12
            where they are alike.
        learning_rate: Of the weights; positive.

    >>> weighting = GradNorm(["a", "b"])
    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    >>> [weighting(gramian, torch.ones(2, dtype=torch.float64), torch.arange(2)).tolist() for _ in range(2)]
    [[1.0, 1.0], [1.025, 0.975]]
    """

    domain = "losses of at least 0"
    weights: Tensor
    initial_losses: Tensor
    moments: Tensor

    def __init__(self, tasks: Sequence[str], alpha: float = 1.5, learning_rate: float = 0.025) -> None:
        super().__init__(tasks)
        if not 0 <= alpha < float("inf"):
            raise UserError(f"`alpha` must be a finite number of at least 0, found {alpha}")
        self.alpha = alpha
        self.learning_rate = positive("learning_rate", learning_rate)
        self.add_state("weights", torch.ones(len(self.tasks), dtype=torch.float64))
        self.add_state("initial_losses", torch.zeros(len(self.tasks), dtype=torch.float64))
        self.add_state("moments", torch.zeros(3, len(self.tasks), dtype=torch.float64))

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        weights = self.weights[tasks]
        norms = gramian.diagonal().sqrt().numpy()
        rates = self._training_rates(losses.numpy(), tasks.numpy())
        if norms.any():
            self._update(norms[norms > 0], rates[norms > 0], tasks.numpy()[norms > 0])
        return weights

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses < 0

    def _training_rates(self, losses: Array, tasks: Array) -> Array:
        """What remains of each loss, relative to the mean over tasks [T]."""
        if (losses < 0).any():
            worst = losses.argmin()
            raise UserError(f"GradNorm needs losses of at least 0, found {losses[worst]} ({self.tasks[tasks[worst]]})")
        initial = self.initial_losses.numpy()
        initial[tasks] = np.where(initial[tasks] == 0, losses, initial[tasks])
        remaining: Array = np.divide(losses, initial[tasks], out=np.ones(len(losses)), where=initial[tasks] > 0)
        remaining /= max(remaining.mean(), np.finfo(float).tiny)
        return remaining

    def _update(self, norms: Array, rates: Array, tasks: Array) -> None:
        weights, moments = self.weights.numpy(), self.moments.numpy()
        total, present = weights[tasks].sum(), moments[:, tasks]
        lengths = weights[tasks] * norms
        gradient = norms * np.sign(lengths - lengths.mean() * rates**self.alpha)
        updated = np.maximum(weights[tasks] - self.learning_rate * adam_step(gradient, present), 0.0)
        weights[tasks] = updated * (total / updated.sum()) if updated.any() else weights[tasks]
        moments[:, tasks] = present
