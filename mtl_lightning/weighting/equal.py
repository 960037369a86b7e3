"""Equal weighting: the sum of the losses."""

from torch import Tensor

from mtl_lightning.weighting.base import LossWeighting


class EqualWeighting(LossWeighting):
    r"""The objective :math:`\sum_t \ell_t` over the tasks present: every task weighs 1.

    Reference: the baseline that Kurin et al., "In Defense of the Unitary Scalarization for Deep Multi-Task Learning"
    (NeurIPS 2022), equation 2, call unitary scalarization. Difference: none.

    Helps: as the baseline of every comparison: in ``experiments/multimnist``, ``snips`` and ``sentiment`` no other
    method was shown to beat it. Fails: where losses have different units: the task with the longest gradient decides
    the direction. Where tasks conflict, a step can increase the loss of one of them.

    >>> import torch
    >>> EqualWeighting(["a", "b"])(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
    tensor(3.)
    """

    @property
    def constant_weights(self) -> dict[str, float]:
        return dict.fromkeys(self.tasks, 1.0)

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses.sum()
