"""IMTL-G: the direction that projects equally on all gradients."""

import numpy as np
from torch import Tensor

from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import Array, normalise, scatter
from mtl_lightning.weighting.spectrum import equal_projections

_SMALLEST_SUM = 1e-6


class IMTLG(GramianWeighting):
    r"""The weights that sum to one and whose direction has the same projection on every gradient.

    In the cosines C and norms n the solution is :math:`w_i \propto (C^{-1} 1)_i / n_i`. Weights may be negative.

    Reference: Liu et al., "Towards Impartial Multi-task Learning" (ICLR 2021), algorithm 1. Difference: the
    gradients are those of the parameters that the executor is told to use, not of the shared features; the
    pseudo-inverse where gradients are linearly dependent. If the weights of the paper sum to one only along the
    direction that increases all losses, their signs are changed, so that they sum to minus one and the losses fall.

    Helps: where gradients differ in length: the direction does not depend on the unit of any loss, and no loss is
    increased. It reaches the front from all starts of ``experiments/toy``. Fails: a task with a tiny gradient, one that
    is nearly learned, gets a huge weight. Where gradients are nearly dependent, weights are large and of both signs,
    and noise decides.

    Args:
        tasks: Names of the K tasks.
        log: Whether to combine the gradients of the logarithms of the losses, which
            changes the length alone.

    >>> import torch
    >>> gramian = torch.tensor([[1.0, -1.0], [-1.0, 9.0]], dtype=torch.float64)
    >>> IMTLG(["a", "b"])(gramian, torch.ones(2), torch.arange(2))
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        cosines, norms, active = normalise(gramian)
        return scatter(impartial_weights(cosines, norms), active)


def impartial_weights(cosines: Array, norms: Array) -> Array:
    """The weights [A]; where directions sum to zero, those whose direction is zero too.

    Args:
        cosines: Of the gradients [A, A].
        norms: Of the gradients, positive [A].
    """
    coefficients = equal_projections(cosines)
    weights: Array = norms.min(initial=np.inf) / norms * (1.0 if coefficients is None else coefficients)
    weights /= max(abs(weights.sum()), _SMALLEST_SUM * np.abs(weights).sum())
    return weights
