"""MoDo: the min-norm weights, learned from two independent batches and used on a third."""

from collections.abc import Sequence

from torch import Tensor

from mtl_lightning.weighting.arguments import not_negative, positive
from mtl_lightning.weighting.batches import Direction, SimplexOfBatches, blocks
from mtl_lightning.weighting.moco import project_on_simplex


class MoDo(SimplexOfBatches):
    r"""Moves the weights a step towards those of the shortest combination, as estimated without bias.

    With the tasks' gradients :math:`G_1, G_2, G_3` in three batches, and :math:`\Pi` projecting on the simplex,

    .. math:: \lambda \leftarrow \Pi(\lambda - \gamma (G_1^\top G_2 + \rho I) \lambda), \qquad d = G_3 \lambda

    from :math:`\lambda = 1 / K`. The product of two gradients of one batch is too large by their variance; of two
    independent batches it is not.

    Reference: Chen, Fernando, Ying and Chen, "Three-Way Trade-Off in Multi-Objective Learning: Optimization,
    Generalization and Conflict-Avoidance" (NeurIPS 2023), its algorithm MoDo; the paper was not at hand: formula and
    defaults are those of the two programs by its authors and for LibMTL, of which the first has two batches and
    combines their sum. Difference: tasks that are compared keep the sum of their :math:`\lambda`, and in the direction
    those sum to one.

    Needs: three batches a step, so that an epoch has a third of the optimizer steps; memory for 3 K gradients. Heads
    train on all three.

    Helps: with small batches, whose noise makes methods that multiply gradients of one batch take it for conflict.
    Fails: per example it takes a third of the steps, and two thirds of the gradients are used for the weights alone
    (``direction: mean`` uses all). With its small ``gamma`` it stays near equal weights unless gradients are long.

    Args:
        tasks: Names of the K tasks.
        gamma: Rate of the weights; positive.
        rho: Pull of the weights towards equality; at least 0.
        direction: Whether the direction is made of the ``last`` batch, which knows nothing of the weights, or of the
            ``mean`` of all three, which is less noisy.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> import torch
    >>> from mtl_lightning.weighting.batches import of_equal_batches
    >>> gramian, losses = torch.diag(torch.tensor([1.0, 3.0])).double(), torch.ones(2).double()
    >>> of_equal_batches(MoDo(["a", "b"], gamma=0.1, rho=0.0), gramian, losses, torch.arange(2))
    tensor([0.5500, 0.4500], dtype=torch.float64)
    """

    batches_per_step = 3

    def __init__(
        self,
        tasks: Sequence[str],
        gamma: float = 1e-3,
        rho: float = 0.1,
        direction: Direction = "last",
        log: bool = False,
    ) -> None:
        super().__init__(tasks, direction, log)
        self.gamma, self.rho = positive("gamma", gamma), not_negative("rho", rho)

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        weights = self.of(tasks)
        slope = blocks(gramian, len(tasks))[0, 1] @ weights + self.rho * weights
        weights = project_on_simplex(weights - self.gamma * slope)
        self.keep(weights, tasks)
        return self.spread(weights)
