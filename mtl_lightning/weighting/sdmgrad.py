"""SDMGrad: between the mean gradient and the shortest combination, from independent batches."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.arguments import at_least, not_negative, positive
from mtl_lightning.weighting.batches import Direction, SimplexOfBatches, blocks
from mtl_lightning.weighting.moco import project_on_simplex


class SDMGrad(SimplexOfBatches):
    r"""A compromise between the mean gradient :math:`g_0` and the shortest combination, estimated without bias.

    With the tasks' gradients :math:`G_1, G_2, G_3` in three batches, and :math:`\Pi` projecting on the simplex, S times

    .. math:: w \leftarrow \Pi(w - \beta\, G_1^\top (G_2 w + \lambda g_0^{(2)})), \qquad
        d = \frac{G_3 w + \lambda g_0^{(3)}}{1 + \lambda}

    from the weights of the step before, at first 1/K: :math:`w` minimises :math:`|G w + \lambda g_0|`. With
    :math:`\lambda = 0` it is MGDA, with a large one the mean gradient.

    Reference: Xiao, Ban and Ji, "Direction-oriented Multi-objective Learning: Simple and Provable Stochastic
    Algorithms" (NeurIPS 2023), SDMGrad; the paper was not at hand: formula, scale and the number of S are those of its
    authors' program and of LibMTL's. Difference: as in these, the S iterations have one pair of batches, and the
    products are divided by the square of the mean length of the gradients; their :math:`\beta` is 5 to 10 with momentum
    0.5, with which weights of gradients in conflict jump from corner to corner.

    Needs: three batches a step, so that an epoch has a third of the optimizer steps; memory for 3 K gradients. Heads
    train on all three.

    Helps: as CAGrad where the mean loss is the goal and no task should fall behind, with batches so small that the
    products of their gradients are mostly noise. Fails: per example it takes a third of the steps, and two thirds of
    the gradients are used for the weights alone (``direction: mean`` uses all). A gradient several times as long as the
    others makes the iterations overshoot; take a smaller ``beta``.

    Args:
        tasks: Names of the K tasks.
        lam: :math:`\lambda`, the pull towards the mean gradient; at least 0.
        beta: :math:`\beta`, rate of the iterations; positive.
        num_iterations: S, at least 1.
        momentum: Of the iterations; at least 0 and less than 1.
        direction: Whether the direction is made of the ``last`` batch, which knows nothing of the weights, or of the
            ``mean`` of all three, which is less noisy.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> from mtl_lightning.weighting.batches import of_equal_batches
    >>> gramian, losses = torch.diag(torch.tensor([1.0, 3.0])).double(), torch.ones(2).double()
    >>> of_equal_batches(SDMGrad(["a", "b"], lam=0.0), gramian, losses, torch.arange(2))
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    batches_per_step = 3

    def __init__(
        self,
        tasks: Sequence[str],
        lam: float = 0.3,
        beta: float = 0.5,
        num_iterations: int = 20,
        momentum: float = 0.0,
        direction: Direction = "last",
        log: bool = False,
    ) -> None:
        super().__init__(tasks, direction, log)
        if not 0 <= momentum < 1:
            raise UserError(f"`momentum` must be at least 0 and less than 1, found {momentum}")
        self.lam, self.beta = not_negative("lam", lam), positive("beta", beta)
        self.num_iterations, self.momentum = at_least(1, "num_iterations", num_iterations), momentum

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        products = blocks(gramian, len(tasks))[0, 1]
        length = products.diagonal().clamp(min=0).sqrt().mean()
        if length > 0:
            products = products / length.square()
        weights, velocity, pull = self.of(tasks), torch.zeros(len(tasks)).to(gramian), self.lam * products.mean(1)
        for _ in range(self.num_iterations if length > 0 else 0):
            velocity = self.momentum * velocity + products @ weights + pull
            weights = project_on_simplex(weights - self.beta * velocity)
        self.keep(weights, tasks)
        return self.spread((weights + self.lam / len(tasks)) / (1 + self.lam))
