"""FS-MTL: each task's gradient where its loss is larger, its change combined apart from the gradient itself."""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor

from mtl_lightning.weighting.base import Weighting
from mtl_lightning.weighting.cagrad import CAGrad
from mtl_lightning.weighting.sharpness import SharpnessAware, Values, weights_of


class FSMTL(SharpnessAware):
    r"""Looks for parameters around which every task's loss is flat: another method combines the gradients, and, apart
    from them, how they change where losses are larger.

    With the gradients :math:`g_t` of the shared parameters :math:`\theta`, and those :math:`s_t` after a step of
    length :math:`\rho` that increases the task's loss,

    .. math:: s_t = \nabla \ell_t \Bigl(\theta + \rho \frac{g_t}{\lVert g_t \rVert}\Bigr), \qquad
        d = A(g_1, \ldots, g_K) + A(s_1 - g_1, \ldots, s_K - g_K),

    where :math:`A` is what the method makes of some gradients. A head is moved by its own gradient's direction at the
    same time, and trains with the gradient there.

    Reference: Phan et al., "Improving Multi-task Learning via Seeking Task-based Flat Regions" (arXiv 2211.13723; ICCV
    2025 as "Beyond Losses Reweighting: Empowering Multi-Task Learning via the Generalization Perspective"). The paper's
    formulas were not at hand: those above are of its authors' program (that for Cityscapes, which measures the step of
    the head by itself; the one for MultiMNIST measures both together). Difference: a task whose gradient is zero is
    not moved; a method with a state has one for the gradients and another for their changes; dropout draws the same in
    both passes of a batch.

    Needs: gradients at perturbed parameters: a forward and a backward pass more for each task; memory for 2 K
    gradients and a copy of the parameters.

    Helps: with little or noisy data, where training losses become small in sharp minima. Fails: it takes more than
    twice the time of the method alone, and (1 + 5 K) / 3 of an ordinary step where one data set labels all K tasks. Too
    large a ``rho`` trains a blurred model; the program's are 0.05 to 2, the larger ones ``adaptive``.

    Args:
        tasks: Names of the K tasks.
        weighting: The method :math:`A`: a Gramian one, or one of constant weights; its options are its own.
        rho: :math:`\rho`, positive.
        adaptive: Whether to measure each parameter's change relative to it.
        apart: Whether changes are combined apart; false combines the :math:`s_t`.

    >>> from mtl_lightning.weighting import MGDA
    >>> gradients, changes = torch.diag(torch.tensor([1.0, 3.0])), torch.diag(torch.tensor([3.0, 1.0]))
    >>> products, losses = torch.block_diag(gradients, changes).double(), torch.ones(4).double()
    >>> FSMTL(["a", "b"], MGDA)(products, losses, torch.arange(2))
    tensor([0.7500, 0.2500, 0.2500, 0.7500], dtype=torch.float64)
    """

    sees_original = True

    def __init__(
        self,
        tasks: Sequence[str],
        weighting: Callable[[Sequence[str]], Weighting] = CAGrad,
        rho: float = 0.05,
        adaptive: bool = False,
        apart: bool = True,
    ) -> None:
        super().__init__(tasks, weighting, rho, adaptive)
        self.apart = apart
        self.of_changes = deepcopy(self.weighting)

    def perturb(self, parameters: Values, gradients: Values, loss_at: Callable[[Values], Tensor]) -> Values:
        return self.ascent(parameters, gradients)

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        if not self.apart:
            return super().forward(gramian, losses, tasks)
        number = len(tasks)
        here = weights_of(self.weighting, gramian[:number, :number], losses[:number], tasks)
        changes = weights_of(self.of_changes, gramian[number:, number:], losses[:number], tasks)
        return torch.cat([here, changes])

    def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
        super().on_epoch_end(losses, tasks)
        self.of_changes.on_epoch_end(losses, tasks)

    def on_validation_end(self, losses: Tensor, tasks: Tensor) -> None:
        super().on_validation_end(losses, tasks)
        self.of_changes.on_validation_end(losses, tasks)
