"""CAGrad: near the mean gradient, the direction along which the worst task gains most."""

from collections.abc import Sequence
from math import exp, log
from typing import Literal, get_args

import numpy as np
from scipy.optimize import brentq
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import (
    Array,
    directions,
    min_norm_point,
    normalise,
    project_on_dual_cone,
    scatter,
)

Rescale = Literal["none", "1+c^2", "1+c"]

_VANISHING = 1e-6


class CAGrad(GramianWeighting):
    r"""The direction that improves the worst task most, at a limited distance from the mean gradient :math:`g_0`.

    .. math:: \max_d \min_t \langle g_t, d \rangle \quad \text{subject to} \quad |d - g_0| \le c |g_0|

    It is :math:`d = g_0 + c |g_0| g_w / |g_w|` with the :math:`g_w = \sum_t w_t g_t`, :math:`w` on the simplex, for
    which :math:`\langle g_w, g_0 \rangle + c |g_0| |g_w|` is least.

    Reference: Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning" (NeurIPS 2021), algorithm 1.
    Difference: solved exactly. If :math:`g_w` vanishes, where the paper's formula divides by zero, many directions are
    optimal; the result is the one nearest to :math:`g_0`, which hurts no task. A task whose gradient is zero counts in
    :math:`g_0` alone.

    Helps: where the mean loss is the goal and the worst task should not fall behind: ``c`` is the compromise between
    the two. Fails: the mean gradient is dominated by the longest one, and the direction stays within ``c`` of it: in a
    strong conflict it can still increase a loss. In ``experiments/toy`` it crawls along the valley from the hard start.

    Args:
        tasks: Names of the K tasks.
        c: Radius, at least 0 (the mean gradient) and less than 1.
        rescale: What the direction is divided by: none (the paper's), or one of the two choices in the authors' code.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> import torch
    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    >>> CAGrad(["a", "b"], c=0.5)(gramian, torch.ones(2), torch.arange(2))
    tensor([0.7500, 0.7500], dtype=torch.float64)
    """

    def __init__(self, tasks: Sequence[str], c: float = 0.5, rescale: Rescale = "none", log: bool = False) -> None:
        super().__init__(tasks, log)
        if not 0 <= c < 1:
            raise UserError(f"`c` must be at least 0 and less than 1, found {c}")
        if rescale not in (choices := get_args(Rescale)):
            raise UserError(f"`rescale` must be one of {', '.join(choices)}, found '{rescale}'")
        self.c = c
        self.divisor = {"none": 1.0, "1+c^2": 1 + c**2, "1+c": 1 + c}[rescale]

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        mean = 1 / len(losses)
        cosines, norms, active = normalise(gramian)
        if not len(norms):
            return losses.new_full(losses.shape, mean / self.divisor)
        sizes, rows = norms / norms.max(), directions(cosines)
        added = _towards_the_worst(rows, sizes, rows @ sizes * mean, self.c)
        return scatter((mean + added) / self.divisor, active, rest=mean / self.divisor)


def _towards_the_worst(rows: Array, sizes: Array, mean: Array, c: float) -> Array:
    r"""The weights [A] of the gradients in :math:`d - g_0`.

    The :math:`d` that maximises :math:`\min_t \langle g_t, d \rangle - \frac\mu2 |d - g_0|^2` is :math:`g_0 + g_w /
    \mu`, where :math:`g_w + \mu g_0` is as short as possible. The larger :math:`\mu`, the nearer it is to :math:`g_0`.
    """
    length = float(np.linalg.norm(mean))
    radius = c * length
    if not radius:
        return np.zeros_like(sizes)
    gradients = rows * sizes

    def weights(log_mu: float) -> Array:
        mu = exp(log_mu)
        return min_norm_point(gradients + mu * mean[:, None], sizes + mu * length) / mu

    def excess(log_mu: float) -> float:
        distance = float(np.linalg.norm(gradients @ weights(log_mu)))
        return (distance - radius) / (distance + radius)

    low, high = log(_VANISHING * sizes.min() / radius), log(2 / radius)
    if excess(low) <= 0:
        return project_on_dual_cone(rows, mean) / sizes
    return weights(brentq(excess, low, high, xtol=1e-12))
