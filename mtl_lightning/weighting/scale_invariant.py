"""Scale-invariant weighting: the sum of the logarithms of the losses."""

from torch import Tensor

from mtl_lightning.weighting.base import LossWeighting
from mtl_lightning.weighting.log_losses import log_losses


class ScaleInvariantWeighting(LossWeighting):
    r"""The objective :math:`\sum_t \log \ell_t` over the tasks present: task t weighs :math:`1 / \ell_t`.

    Multiplying a loss by a constant changes nothing. Losses must be positive: a loss of zero weighs 0, a step with a
    negative one is skipped.

    Reference: the scale-invariant baseline (SI) of Navon et al., "Multi-Task Learning as a Bargaining Game" (ICML
    2022), section 5. Difference: none.

    Helps: where losses have different units: each task counts by the relative decrease of its loss. Fails: where a loss
    approaches zero: its weight grows without bound, so a task that is learned already dominates.

    >>> import torch
    >>> ScaleInvariantWeighting(["a", "b"])(torch.tensor([1.0, 1.0]), torch.tensor([0, 1]))
    tensor(0.)
    """

    domain = "losses of at least 0"

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return log_losses(losses).sum()

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses < 0
