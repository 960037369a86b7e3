"""Gradient Vaccine: gradients turned towards each other where they are less alike than usual."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.pcgrad import random_orders
from mtl_lightning.weighting.solvers import Array, normalise, scatter
from mtl_lightning.weighting.spectrum import ROUNDING

_LARGEST_TARGET = 1 - 1e-6


class GradVac(GramianWeighting):
    r"""Turns each gradient towards the others until it is as similar to them as it usually was, and sums.

    Gradient i goes through the others j in a random order of its own. Where its cosine :math:`\phi` with :math:`g_j` is
    below the target :math:`\hat\phi_{ij}`,

    .. math:: g_i' \leftarrow g_i' + \frac{|g_i'| (\hat\phi \sqrt{1 - \phi^2} - \phi \sqrt{1 - \hat\phi^2})}
              {|g_j| \sqrt{1 - \hat\phi^2}} g_j ,

    which makes the cosine :math:`\hat\phi_{ij}`. Then, in any case,
    :math:`\hat\phi_{ij} \leftarrow (1 - \beta) \hat\phi_{ij} + \beta \phi`. Targets start from 0, where the method is
    PCGrad.

    Reference: Wang et al., "Gradient Vaccine: Investigating and Improving Multi-task Optimization in Massively
    Multilingual Models" (ICLR 2021), algorithm 1. Difference: all shared parameters are one group
    (the paper also has a group a layer); targets count as at most 1 - 1e-6, as the step to a cosine of 1 is infinite.

    Helps: where tasks are alike, such as one task in several languages: it asks for the usual similarity, not only for
    no conflict. Fails: targets take about ``1 / beta`` steps to form, and until then it is PCGrad, with its limits:
    with three tasks or more a step can still increase a loss, and long gradients dominate.

    Args:
        tasks: Names of the K tasks.
        beta: Rate at which the targets follow the cosines; 0 to 1.
        seed: Of the orders; null: the seed of the run.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> gramian = torch.tensor([[1.0, -1.0], [-1.0, 4.0]], dtype=torch.float64)
    >>> GradVac(["a", "b"])(gramian, torch.ones(2), torch.arange(2))
    tensor([2.0000, 1.2500], dtype=torch.float64)
    """

    targets: Tensor

    def __init__(self, tasks: Sequence[str], beta: float = 1e-2, seed: int | None = None, log: bool = False) -> None:
        super().__init__(tasks, log)
        if not 0 <= beta <= 1:
            raise UserError(f"`beta` must be between 0 and 1, found {beta}")
        self.beta = beta
        self.add_state("targets", torch.zeros(len(self.tasks), len(self.tasks), dtype=torch.float64))
        self.add_random_state(seed)

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        cosines, norms, active = normalise(gramian)
        block = np.ix_(tasks.numpy()[active], tasks.numpy()[active])
        targets = self.targets.numpy()[block]
        vaccinated = vaccinate(cosines, random_orders(len(norms), self.generator()), targets, self.beta)
        self.targets.numpy()[block] = targets
        return scatter(norms @ vaccinated / norms, active, rest=1.0)


def vaccinate(cosines: Array, orders: NDArray[np.intp], targets: Array, beta: float) -> Array:
    """Turns all gradients at once, each towards the others in its own order, and updates the targets.

    Args:
        cosines: Of the gradients [A, A].
        orders: For each task the others, in the order of the turns [A, A - 1].
        targets: The cosines to reach at least [A, A]; changed in place.
        beta: Rate of the targets.

    Returns:
        Row i: what direction i became, as coefficients of the directions [A, A].
    """
    coefficients, products, rows = np.eye(len(cosines)), cosines.copy(), np.arange(len(cosines))
    for others in orders.T:
        target = targets[rows, others]
        lengths = np.sqrt(np.maximum((coefficients * products).sum(1), 0.0))
        alive = lengths > ROUNDING**0.5
        cosine = np.clip(products[rows, others] / np.where(alive, lengths, 1.0), -1.0, 1.0)
        reached = np.minimum(target, _LARGEST_TARGET)
        turn = lengths * (reached * np.sqrt((1 - cosine**2) / (1 - reached**2)) - cosine)
        turn[(cosine >= reached) | ~alive] = 0.0
        coefficients[rows, others] += turn
        products += turn[:, None] * cosines[others]
        targets[rows, others] = np.where(alive, target + beta * (cosine - target), target)
    return coefficients
