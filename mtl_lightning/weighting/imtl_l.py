"""IMTL-L: learned scales that make all scaled losses one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.weighting.base import LossWeighting


class IMTLL(LossWeighting):
    r"""The objective :math:`\sum_t (e^{s_t} \ell_t - s_t)` over the tasks present, with trained scales :math:`s`.

    Where the scales are optimal, :math:`e^{s_t} \ell_t = 1`: all scaled losses are equal. The scales are parameters:
    the model's optimizer trains them. They start at 0, the sum of the losses. Losses should be positive: others have no
    optimal scale, and theirs grows without end.

    Reference: Liu et al., "Towards Impartial Multi-task Learning" (ICLR 2021), section 3.2, loss balance. Difference:
    none; weight decay, where the optimizer has any, also acts on the scales.

    Helps: where losses have different units. It had the best mean in ``experiments/multimnist``, though no difference
    from equal weights was shown. Fails: in short runs: under Adam a scale's logarithm moves by about the learning rate
    a step. Weight decay pulls the scales towards 1. Gradients that conflict stay in conflict.

    >>> import torch
    >>> IMTLL(["a", "b"])(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
    tensor(3., grad_fn=<SumBackward0>)
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.scales = nn.Parameter(torch.zeros(len(self.tasks)))

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        scales = self.scales[tasks]
        return (scales.exp() * losses - scales).sum()
