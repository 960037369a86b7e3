"""PCGrad: gradients projected off each other where they conflict."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import Array, normalise, scatter


class PCGrad(GramianWeighting):
    r"""Projects each gradient off those that it conflicts with, one after another in random order, and sums.

    Gradient i goes through the others j in an order of its own: where :math:`\langle g_i', g_j \rangle < 0`,
    :math:`g_i' \leftarrow g_i' - \frac{\langle g_i', g_j \rangle}{|g_j|^2} g_j`.

    Reference: Yu et al., "Gradient Surgery for Multi-Task Learning" (NeurIPS 2020), algorithm 1. Difference: none.

    Helps: with two tasks that conflict and gradients of about the same length; without conflict it is the sum of the
    losses. Fails: with three tasks or more, what it returns can still increase a loss, as a projection may undo
    another. Long gradients dominate. In ``experiments/toy`` it crawls along the valley from the hard start.

    Args:
        tasks: Names of the K tasks.
        seed: Of the orders; null: the seed of the run.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> gramian = torch.tensor([[1.0, -1.0], [-1.0, 4.0]], dtype=torch.float64)
    >>> PCGrad(["a", "b"])(gramian, torch.ones(2), torch.arange(2))
    tensor([2.0000, 1.2500], dtype=torch.float64)
    """

    def __init__(self, tasks: Sequence[str], seed: int | None = None, log: bool = False) -> None:
        super().__init__(tasks, log)
        self.add_random_state(seed)

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        cosines, norms, active = normalise(gramian)
        projected = project(cosines, random_orders(len(norms), self.generator()))
        return scatter(norms @ projected / norms, active, rest=1.0)


def random_orders(num_tasks: int, generator: torch.Generator) -> NDArray[np.intp]:
    """For each task the others, in random order [A, A - 1]."""
    keys = torch.rand(num_tasks, num_tasks, dtype=torch.float32, generator=generator).numpy()
    keys.reshape(-1)[:: num_tasks + 1] = 2.0
    return keys.argsort(1)[:, : num_tasks - 1]


def project(cosines: Array, orders: NDArray[np.intp]) -> Array:
    """Projects all gradients at once, each off the others in its own order.

    Args:
        cosines: Of the gradients [A, A].
        orders: For each task the others, in the order of the projections [A, A - 1].

    Returns:
        Row i: what direction i became, as coefficients of the directions [A, A].
    """
    size = len(cosines)
    pairs = orders.T + np.arange(size) * size
    coefficients, products, zeros = np.eye(size), cosines.copy(), np.zeros(size)
    conflicts = np.empty((*pairs.shape, 1))
    for now, pair, others in zip(conflicts, pairs, cosines.take(orders.T, 0), strict=True):
        np.minimum(products.take(pair), zeros, out=now[:, 0])
        products -= now * others
    coefficients.reshape(-1)[pairs] = -conflicts[..., 0]
    return coefficients
