"""Nash-MTL: the direction on which the tasks agree as bargainers."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import fair_weights, normalise, scatter


class NashMTL(GramianWeighting):
    r"""The weights :math:`\alpha > 0` for which :math:`G \alpha = 1 / \alpha`.

    Of the directions of its length, :math:`d = \sum_t \alpha_t g_t` maximises :math:`\sum_t \log \langle g_t, d
    \rangle`. It does not depend on the scale of any gradient, and its length is :math:`\sqrt T` before clipping.

    Reference: Navon et al., "Multi-Task Learning as a Bargaining Game" (ICML 2022), claim 3.1 and algorithm 1.
    Difference: solved exactly, by Newton's method, not by a sequence of convex approximations. The authors' code
    divides G by its Frobenius norm first, so that its direction, unless clipped, grows with the gradients. Tasks whose
    gradients can cancel out, for which there is no solution, are neither helped nor hurt, and the others bargain for
    what is orthogonal to them. A task whose gradient is zero gets no weight.

    Helps: where losses have different units and none may be neglected: the direction depends on no scale, and no loss
    is increased. It reaches the front from all starts of ``experiments/toy``. Fails: the direction has the same length
    however small the gradients are, so that the learning rate has to fall for the run to settle. A task that is nearly
    learned keeps its full influence.

    Args:
        tasks: Names of the K tasks.
        max_norm: What the length of the direction is clipped to, by scaling the weights, as in the authors' code; null:
            not clipped.

    >>> import torch
    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    >>> NashMTL(["a", "b"], max_norm=None)(gramian, torch.ones(2), torch.arange(2))
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    def __init__(self, tasks: Sequence[str], max_norm: float | None = 1.0) -> None:
        super().__init__(tasks)
        self.max_norm = max_norm if max_norm is None else positive("max_norm", max_norm)

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        cosines, norms, active = normalise(gramian)
        if not len(norms):
            return losses.new_zeros(losses.shape)
        weights = fair_weights(cosines, np.ones_like(norms), exponent=1.0)
        if self.max_norm is not None:
            length = max(float(weights @ cosines @ weights), 0.0) ** 0.5
            weights /= max(1.0, length / self.max_norm)
        return scatter(weights / norms, active)
