"""CR-MOGM: the weights of another method, averaged over steps."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.around import Around
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.cagrad import CAGrad


class CRMOGM(Around):
    r"""Averages the weights that a Gramian method finds, so that they depend less on the noise of one batch.

    With the method's weights :math:`\hat\lambda` of the step,

    .. math:: \lambda \leftarrow \alpha \lambda + (1 - \alpha) \hat\lambda

    weighs the gradients. The first weights of a task are the method's own.

    Reference: Zhou et al., "On the Convergence of Stochastic Multi-Objective Gradient Manipulation and Beyond" (NeurIPS
    2022), correlation-reduced stochastic multi-objective gradient manipulation. Difference: a task that is missing from
    a step keeps its weight; what the method promises of its direction, such as that no loss increases, holds for the
    average over steps alone.

    Helps: with small batches: weights found from the same batch as the gradients that they multiply are biased, and
    averaged ones less so. Fails: weights lag behind by about :math:`1 / (1 - \alpha)` steps, and in a single step the
    direction may hurt a task that the method would have spared.

    Args:
        tasks: Names of the K tasks.
        weighting: The method; its options are its own.
        alpha: :math:`\alpha`, the share of the average that is kept in a step; from 0 (the method alone) to below 1.

    >>> from mtl_lightning.weighting import MGDA
    >>> weighting, losses, tasks = CRMOGM(["a", "b"], MGDA, alpha=0.5), torch.ones(2), torch.arange(2)
    >>> [weighting(torch.diag(torch.tensor([1.0, size]).double()), losses, tasks).tolist() for size in (1.0, 3.0)]
    [[0.5, 0.5], [0.625, 0.375]]
    """

    weights: Tensor
    seen: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        weighting: Callable[[Sequence[str]], GramianWeighting] = CAGrad,
        alpha: float = 0.9,
    ) -> None:
        super().__init__(tasks, weighting)
        if not 0 <= alpha < 1:
            raise UserError(f"`alpha` must be from 0 to below 1, found {alpha}")
        self.alpha = alpha
        if not isinstance(self.weighting, GramianWeighting):
            found = type(self.weighting).__name__
            raise UserError(f"`weighting` must be a Gramian method, whose weights can be averaged, found {found}")
        name = type(self.weighting).__name__
        if self.weighting.batches_compared > 1:
            raise UserError(f"`weighting`: {name} compares several batches, whose weights CRMOGM cannot average")
        if self.weighting.perturbs_parameters:
            raise UserError(f"`weighting`: {name} stands around other methods, not in them: put CRMOGM inside it")
        self.add_state("weights", torch.zeros(len(self.tasks), dtype=torch.float64))
        self.add_state("seen", torch.zeros(len(self.tasks), dtype=torch.bool))

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        found: Tensor = self.weighting(gramian, losses, tasks)
        averaged = torch.where(self.seen[tasks], self.alpha * self.weights[tasks] + (1 - self.alpha) * found, found)
        self.weights[tasks] = averaged
        self.seen[tasks] = True
        return averaged
