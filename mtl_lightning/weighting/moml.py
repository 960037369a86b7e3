"""MOML: weights that training moves to where a step on them lowers every validation loss."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.weighting.adam import adam_step
from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.batches import blocks
from mtl_lightning.weighting.solvers import Array, directions, min_norm_point, normalise, scatter


class MOML(GramianWeighting):
    r"""Moves the weights in the direction that lowers all validation losses, as MGDA finds it.

    The weights are :math:`\lambda = \mathrm{softmax}(v)`, at first 1/K. With the tasks' gradients :math:`g_t` in a
    training batch, and :math:`g^{val}_t` in a validation batch, the slopes of the validation losses after a step of
    length :math:`\alpha` are

    .. math:: h_i = \frac{\partial}{\partial v} L^{val}_i(\theta - \alpha \sum_t \lambda_t g_t), \qquad
        h_{is} = -\alpha \lambda_s \langle g^{val}_i, g_s - \sum_t \lambda_t g_t \rangle .

    Adam moves :math:`v` against :math:`\sum_i \gamma_i h_i`, where the :math:`\gamma` on the simplex make
    :math:`\sum_i \gamma_i h_i / |h_i|` shortest. The direction is :math:`\sum_t \lambda_t g_t`, with the moved weights.
    As Adam is blind to scale, :math:`\alpha` plays no part.

    Reference: Ye, Lin, Yue, Guo, Xiao and Zhang, "Multi-Objective Meta Learning" (NeurIPS 2021); the paper was not at
    hand: formulas, normaliser and defaults are those of its authors' program for Office-31; that for NYUv2 divides the
    :math:`h_i` by the losses and has a rate of 1e-4. Difference: first order, with the validation gradient at
    :math:`\theta`, where the programs take it after the step and differentiate through the step; of the shared
    parameters alone; solved exactly, not by Frank-Wolfe. Tasks that are not in a step are left out of the softmax.

    Needs: a batch of the validation split a step, at the cost of one more step without heads; memory for 2 K gradients.
    Validation data trains the weights and nothing else. Scores on it are no longer of data that training has not seen.

    Helps: where tasks generalise differently and none should fall behind on validation data. Fails: as weights sum to
    one, what they gain for one task they take from another. Of two tasks that each ask for more weight, neither gets
    it: weights of two tasks move only where both validation losses agree. With the default rate they move slowly.

    Args:
        tasks: Names of the K tasks.
        learning_rate: Of :math:`v`; positive.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double()
    >>> products = torch.cat([rows, rows[:1], rows[:1]]) @ torch.cat([rows, rows[:1], rows[:1]]).T
    >>> MOML(["a", "b"], learning_rate=0.1)(products, torch.ones(4).double(), torch.arange(2))
    tensor([0.5498, 0.4502], dtype=torch.float64)
    """

    needs_validation_batch = True
    logits: Tensor
    moments: Tensor

    def __init__(self, tasks: Sequence[str], learning_rate: float = 1e-3, log: bool = False) -> None:
        super().__init__(tasks, log)
        self.learning_rate = positive("learning_rate", learning_rate)
        self.add_state("logits", torch.zeros(len(self.tasks), dtype=torch.float64))
        self.add_state("moments", torch.zeros(3, len(self.tasks), dtype=torch.float64))

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        products = blocks(gramian, len(tasks))[1, 0]
        weights = self.logits[tasks].softmax(0)
        slopes = -weights * (products - products @ weights.unsqueeze(1))
        moments = self.moments[:, tasks].numpy()
        step = adam_step(_common_slope(slopes), moments)
        self.moments[:, tasks] = torch.from_numpy(moments)
        self.logits[tasks] -= self.learning_rate * torch.from_numpy(step)
        return self.logits[tasks].softmax(0)


def _common_slope(slopes: Tensor) -> Array:
    """The combination [T] of slopes [T, T], a row a validation loss, whose weights make that of directions shortest.

    The slopes are scaled by the longest, so that squares do not overflow.
    """
    longest = slopes.abs().max()
    if longest == 0:
        return np.zeros(len(slopes))
    scaled = slopes / longest
    cosines, norms, active = normalise(scaled @ scaled.T)
    shares = scatter(min_norm_point(directions(cosines), np.ones_like(norms)), active)
    found: Array = (shares @ slopes).numpy()
    return found
