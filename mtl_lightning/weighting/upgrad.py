"""UPGrad: every gradient is freed from its conflicts with all others before they are averaged."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.weighting.arguments import by_name, not_negative
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import Array, directions, normalise, project_on_dual_cone


class UPGrad(GramianWeighting):
    r"""The combined gradient :math:`\sum_t p_t \pi(g_t)`, which hurts no task.

    Here :math:`\pi` projects on the dual cone of the gradients, :math:`\{d : \langle g_t, d \rangle \ge 0 \; \forall
    t\}`.

    Reference: Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization" (2024), equation 3 and proposition
    1. Difference: none. The projections are exact at any ratio of norms; the authors' library, which adds 1e-4 of the
    Gramian's trace to its diagonal, hurts tasks where norms differ much. Gradients that cancel out to within 0.006
    degrees count as opposite, as float32 cannot combine them; see :func:`.solvers.project_on_dual_cone`.

    Helps: where no task may get worse: to first order no step increases a loss, and without a conflict it is the mean
    of the gradients. Fails: it does not balance lengths: a long gradient dominates wherever it is not in conflict.
    Where two tasks stay in conflict, steps are short: in ``experiments/toy`` it crawls along the valley from the hard
    start.

    Args:
        tasks: Names of the K tasks.
        preferences: p, the weight of each task's projected gradient, by name, not negative; null: the paper's mean,
            over the tasks present.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> gramian = torch.tensor([[1.0, -1.0], [-1.0, 2.0]], dtype=torch.float64)
    >>> UPGrad(["a", "b"])(gramian, torch.ones(2), torch.arange(2))
    tensor([1.0000, 0.7500], dtype=torch.float64)
    """

    def __init__(self, tasks: Sequence[str], preferences: Mapping[str, float] | None = None, log: bool = False) -> None:
        super().__init__(tasks, log)
        self.preferences: Array | None = None
        if preferences is not None:
            by_name("preferences", preferences, tasks)
            values = [not_negative(f"preferences.{name}", preferences[name]) for name in tasks]
            self.preferences = np.array(values, dtype=np.float64)

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        preferences = self.preferences
        weights = np.full(len(tasks), 1 / len(tasks)) if preferences is None else preferences[tasks.numpy()]
        cosines, norms, active = normalise(gramian)
        rows, lengths = directions(cosines), weights[active] * norms
        for row in np.flatnonzero((cosines < 0).any(1)):
            weights[active] += lengths[row] * project_on_dual_cone(rows, rows[:, row]) / norms
        return torch.from_numpy(weights)
