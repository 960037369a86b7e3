"""ConFIG: the direction that is equally similar to all gradients."""

import numpy as np
from torch import Tensor

from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import normalise, scatter
from mtl_lightning.weighting.spectrum import ROUNDING, equal_projections


class ConFIG(GramianWeighting):
    r"""The direction that has the same positive cosine with every gradient, as long as their projections on it.

    :math:`d = (\sum_i g_i^\top u) u`, where u is the unit vector along :math:`[b_1, \ldots, b_K]^{-\top} 1`, and
    :math:`b_i = g_i / |g_i|`. In the cosines C this is :math:`x = \sum_i \beta_i b_i` with :math:`\beta = C^{-1} 1`
    and :math:`|x|^2 = 1^\top \beta`. It has the direction of IMTL-G and another length.

    Reference: Liu, Chu and Thuerey, "ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks" (ICLR
    2025), equation 2. Difference: none. The inverse is a pseudo-inverse there too: where gradients are linearly
    dependent (within 1e-4 degrees, which is what rounding of float32 gradients explains) the direction is that of least
    squares, and zero where the :math:`b_i` sum to zero.

    Helps: where gradients conflict and differ in length: all have the same positive cosine with the direction, which
    depends on no unit. Fails: where gradients are nearly opposite the step shrinks to nothing: in ``experiments/toy``
    two of five starts are still on their way after 35,000 steps. A tiny gradient, which may be noise, counts as much as
    any other.

    Args:
        tasks: Names of the K tasks.
        log: Whether to combine the gradients of the logarithms of the losses, which
            changes the length alone.

    >>> import torch
    >>> gramian = torch.tensor([[1.0, -1.0], [-1.0, 4.0]], dtype=torch.float64)
    >>> ConFIG(["a", "b"])(gramian, torch.ones(2), torch.arange(2))
    tensor([1.5000, 0.7500], dtype=torch.float64)
    """

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        cosines, norms, active = normalise(gramian)
        coefficients = equal_projections(cosines)
        if coefficients is None:
            return scatter(0.0 * norms, active)
        projections = cosines @ coefficients  # 1, unless directions are dependent
        projections[np.abs(projections) < ROUNDING**0.5] = 0.0
        return scatter(norms @ projections / coefficients.sum() * coefficients / norms, active)
