"""GLS, the geometric loss strategy: the geometric mean of the losses."""

from torch import Tensor

from mtl_lightning.weighting.base import LossWeighting
from mtl_lightning.weighting.log_losses import log_losses


class GLS(LossWeighting):
    r"""The objective :math:`(\prod_t \ell_t)^{1/T}` over the T tasks present.

    Task t weighs :math:`(\prod_i \ell_i)^{1/T} / (T \ell_t)`: weight times loss is the same for all tasks. Losses must
    be positive: where one is zero, so is the objective, and all tasks weigh next to nothing; a step with a negative one
    is skipped.

    Reference: Chennupati et al., "MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy for
    Multi-Task Learning" (CVPR Workshops 2019), the geometric loss strategy. Difference: computed through logarithms,
    so that many tasks neither overflow nor underflow; the focused variant, which multiplies by the losses of the first
    tasks once more, is left out.

    Helps: where losses have different units: the relative decrease of each loss counts the same. Fails: where one loss
    approaches zero, the weights of all others do too. In ``experiments/multimnist`` it was shown to be worse than equal
    weights, at the same learning rate.

    >>> import torch
    >>> GLS(["a", "b"])(torch.tensor([1.0, 4.0]), torch.tensor([0, 1]))
    tensor(2.)
    """

    domain = "losses of at least 0"

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return log_losses(losses).mean().exp()

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses < 0
