"""FORUM: steps that lower all losses of one batch while they also lower the weighted loss of another."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.weighting.adam import adam_step
from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.batches import SimplexOfBatches, blocks
from mtl_lightning.weighting.solvers import (
    Array,
    directions,
    least_on_simplex,
    min_norm_point,
    normalise,
    scatter,
)


class FORUM(SimplexOfBatches):
    r"""Lowers each task's loss in one batch, as MGDA does, bound to lower the weighted loss in another one enough.

    The weights :math:`w = \mathrm{softmax}(v)`, at first 1/K, are found together with the parameters
    :math:`\theta`. The lower level is :math:`f = \sum_t w_t L_t` in the first batch, with gradients :math:`g_t`. It is
    at its optimum where the gap :math:`q = f(\theta) - f(\theta')` is 0, with :math:`\theta'` some steps of gradient
    descent away. To first order, steps of total length :math:`s` leave a gap of gradient

    .. math:: \nabla q = (\frac{\partial q}{\partial v}, \bar g), \qquad \bar g = \sum_t w_t g_t, \qquad
        \frac{\partial q}{\partial v_t} = s w_t \langle g_t - \bar g, \bar g \rangle .

    The upper level are the tasks' losses in the second batch, with gradients of unit length :math:`u_t`. The direction
    is :math:`\sum_t \lambda_t u_t + \nu \bar g`, and Adam moves :math:`v` against :math:`\nu \, \partial q / \partial
    v`. The least :math:`\nu` that lowers the gap by :math:`\rho |\nabla q|^2` is

    .. math:: \nu = \max(0, \; \rho - \sum_t \lambda_t \frac{\langle u_t, \bar g \rangle}{|\nabla q|^2}) ,

    and the :math:`\lambda` on the simplex are those for which :math:`|\sum_t \lambda_t u_t + \nu \nabla q|^2 - \rho \nu
    |\nabla q|^2` is least, averaged over steps at the rate :math:`n^{-3/4}` in epoch :math:`n`.

    Reference: Ye, Lin, Cao, Zhang and Tsang, "A First-Order Multi-Gradient Algorithm for Multi-Objective Bi-Level
    Optimization" (ECAI 2024); the paper was not at hand: formulas and defaults are those of its authors' program.
    Difference: the program makes 5 steps of 0.1 on a copy of the model to know :math:`\partial q / \partial v`, here it
    is taken to first order, without; of the shared parameters alone; solved exactly, not by a general solver. Tasks
    whose gradient is zero have no part in the upper level.

    Needs: two batches a step, so that an epoch has half the optimizer steps; memory for 2 K gradients. Heads train on
    both. As in the program, both are training data: validation figures stay those of data that training has not seen.

    Helps: where no task should fall behind, as with MGDA, but a weighted loss should fall, too. It reaches the front
    from all starts of ``experiments/toy``. Fails: as gradients are of unit length, the direction does not shorten
    towards the optimum: let the learning rate fall. Where gradients are long, the extrapolated gap is far too wide, and
    the weights' part of it swamps the rest: take a smaller ``length``. With the default rate, weights move slowly.

    Args:
        tasks: Names of the K tasks.
        rho: :math:`\rho`, how fast the gap must close; positive.
        length: :math:`s`, of all the steps that the gap looks ahead; positive.
        learning_rate: Of :math:`v`; positive.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> from mtl_lightning.weighting.batches import of_equal_batches
    >>> gramian, losses = torch.eye(2).double(), torch.ones(2).double()
    >>> of_equal_batches(FORUM(["a", "b"]), gramian, losses, torch.arange(2))
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    batches_per_step = 2
    logits: Tensor
    moments: Tensor
    epochs: int

    def __init__(
        self,
        tasks: Sequence[str],
        rho: float = 0.1,
        length: float = 0.5,
        learning_rate: float = 1e-3,
        log: bool = False,
    ) -> None:
        super().__init__(tasks, log=log)
        self.rho, self.length = positive("rho", rho), positive("length", length)
        self.learning_rate = positive("learning_rate", learning_rate)
        self.add_state("logits", torch.zeros(len(self.tasks), dtype=torch.float64))
        self.add_state("moments", torch.zeros(3, len(self.tasks), dtype=torch.float64))
        self.add_state("epochs", 0)

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        both = blocks(gramian, len(tasks))
        products, weights = both.numpy(), self.logits[tasks].softmax(0).numpy()
        drops = products[0, 0] @ weights
        fall = weights @ drops
        slopes = self.length * weights * (drops - fall)
        gap = sqrt(max(fall + slopes @ slopes, 0.0))
        cosines, norms, active = normalise(both[1, 1])
        along = (products[1, 0] @ weights)[active] / norms / gap if gap else np.zeros_like(norms)

        shares = self.of(tasks)
        if len(norms):
            found = scatter(_upper_weights(cosines, along, self.rho * gap), active)
            shares = found if not self.epochs else shares + (self.epochs + 1) ** -0.75 * (found - shares)
            self.keep(shares, tasks)
        upper = shares.numpy()[active]
        force = max(self.rho - upper @ along / gap, 0.0) if gap else 0.0

        moments = self.moments[:, tasks].numpy()
        self.logits[tasks] -= torch.from_numpy(self.learning_rate * adam_step(force * slopes, moments))
        self.moments[:, tasks] = torch.from_numpy(moments)
        return torch.cat([torch.from_numpy(force * weights), scatter(upper / norms, active)])

    def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
        """Counts the epochs."""
        self.epochs += 1


def _upper_weights(cosines: Array, along: Array, least: float) -> Array:
    r"""The weights :math:`\lambda` [A] of the upper level.

    With the unit vector :math:`e` along the gradient of the gap, and :math:`c = \langle \lambda u, e \rangle`, they
    minimise :math:`|\lambda u|^2 - c^2 + r c` where :math:`c \le r`, which needs :math:`\nu > 0`, and :math:`|\lambda
    u|^2` elsewhere. The two meet in a kink, where both increase with the distance from it.

    Args:
        cosines: Of the :math:`u` with each other [A, A].
        along: Of the :math:`u` with :math:`e` [A].
        least: r, positive, or 0 if there is no gap.
    """
    num_tasks = len(along)
    if not least:
        return min_norm_point(directions(cosines), np.ones(num_tasks))
    joint = np.ones((num_tasks + 1, num_tasks + 1))
    joint[:-1, :-1], joint[-1, :-1], joint[:-1, -1] = cosines, along, along
    rows = directions(joint)
    rows, edge = rows[:, :-1], rows[:, -1]
    found = min_norm_point(rows, np.ones(num_tasks))
    if found @ along >= least:
        return found
    found = least_on_simplex(rows - np.outer(edge, edge @ rows), 0.5 * least * along, found)
    if found @ along <= least:
        return found
    low, high = np.nonzero(along < least)[0], np.nonzero(along >= least)[0]
    first, second = (index.ravel() for index in np.meshgrid(low, high))
    share = (along[second] - least) / (along[second] - along[first])
    mixed = min_norm_point(rows[:, first] * share + rows[:, second] * (1 - share), np.ones(len(share)))
    weights = np.zeros(num_tasks)
    np.add.at(weights, first, mixed * share)
    np.add.at(weights, second, mixed * (1 - share))
    return weights
