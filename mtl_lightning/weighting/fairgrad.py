"""FairGrad: shares the decrease of the losses among the tasks, with alpha-fairness."""

from collections.abc import Sequence

from torch import Tensor

from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import fair_weights, normalise, scatter


class FairGrad(GramianWeighting):
    r"""The weights :math:`w > 0` for which :math:`G w = w^{-1 / \alpha}`.

    Of the directions of its length, :math:`d = \sum_t w_t g_t` maximises :math:`\sum_t \langle g_t, d \rangle^{1 -
    \alpha} / (1 - \alpha)`. A small :math:`\alpha` favours the sum over tasks, 1 is the Nash bargaining solution, a
    large one favours the task that gains least.

    Reference: Ban and Ji, "Fair Resource Allocation in Multi-Task Learning" (ICML 2024), equation 4 and algorithm 1.
    Difference: solved exactly, by Newton's method on a convex function, not by bounded least squares. Tasks whose
    gradients can cancel out, for which there is no solution, are neither helped nor hurt, and the others share what is
    orthogonal to them. A task whose gradient is zero gets no weight.

    Helps: where ``alpha`` should choose between the sum of the losses and the task that gains least; no loss is
    increased. It reaches the front from all starts of ``experiments/toy``. Fails: with the default it is the direction
    of Nash-MTL, with its limits: a task that is nearly learned keeps its full influence. Without clipping, small
    gradients give long steps.

    Args:
        tasks: Names of the K tasks.
        alpha: Fairness, positive; 1 is the default of the authors' code.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> import torch
    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 8.0]], dtype=torch.float64)
    >>> FairGrad(["a", "b"], alpha=2.0)(gramian, torch.ones(2), torch.arange(2))
    tensor([1.0000, 0.2500], dtype=torch.float64)
    """

    def __init__(self, tasks: Sequence[str], alpha: float = 1.0, log: bool = False) -> None:
        super().__init__(tasks, log)
        self.alpha = positive("alpha", alpha)

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        cosines, norms, active = normalise(gramian)
        if not len(norms):
            return losses.new_zeros(losses.shape)
        largest, exponent = norms.max(), 1 / self.alpha
        sizes = norms / largest
        weights = fair_weights(cosines, sizes ** (exponent - 1), exponent) / sizes
        return scatter(weights * largest ** (-2 / (1 + exponent)), active)
