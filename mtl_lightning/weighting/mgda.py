"""MGDA: the shortest vector among the convex combinations of the gradients."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import Array, directions, min_norm_point, normalise, scatter

Normalization = Literal["none", "l2", "loss", "loss+"]


class MGDA(GramianWeighting):
    r"""The weights :math:`w` on the simplex for which :math:`|\sum_t w_t g_t / s_t|` is least.

    With :math:`s_t = 1` the combined gradient hurts no task, and where it is zero the parameters are Pareto stationary.
    Other normalisers, :math:`|g_t|` (``l2``), :math:`\ell_t` (``loss``) or :math:`\ell_t |g_t|` (``loss+``), decide the
    weights but, as in the authors' code, do not divide the gradients that these are given to.

    Reference: Désidéri, "Multiple-gradient descent algorithm (MGDA) for multiobjective optimization" (Comptes Rendus
    Mathématique 2012); Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization" (NeurIPS 2018), equation
    3, and the normalisers of their code. Difference: solved exactly, by non-negative least squares, not by Frank-Wolfe.
    A task whose gradient is zero gets no weight, instead of all the weight. Where losses are normalisers, one of zero
    gets no weight either, and a step with a negative one is skipped.

    Helps: where no task may get worse: to first order no step increases a loss. It reaches the front from all starts of
    ``experiments/toy``. Fails: the shortest gradient decides: orthogonal gradients of lengths 1 and 10 weigh .99 and
    .01. A task that is nearly learned thus stops the others; other normalisers lessen that.

    Args:
        tasks: Names of the K tasks.
        normalization: The normaliser s.
        log: Whether to combine the gradients of the logarithms of the losses; not where
            losses are normalisers.

    >>> import torch
    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    >>> MGDA(["a", "b"])(gramian, torch.ones(2), torch.arange(2))
    tensor([0.8000, 0.2000], dtype=torch.float64)
    """

    def __init__(self, tasks: Sequence[str], normalization: Normalization = "none", log: bool = False) -> None:
        super().__init__(tasks, log)
        if normalization not in (choices := get_args(Normalization)):
            raise UserError(f"`normalization` must be one of {', '.join(choices)}, found '{normalization}'")
        self.normalization = normalization
        self._by_losses = normalization in ("loss", "loss+")
        if self._by_losses:
            if log:
                raise UserError(f"`log` divides by the losses, as `normalization: {normalization}` does; choose one")
            self.domain = f"losses of at least 0 with `normalization: {normalization}`"

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return (losses < 0) & (self._by_losses or self.log)

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        if self._by_losses and not losses.all():
            gramian = torch.where(losses == 0, 0.0, torch.where(losses == 0, 0.0, gramian).T)
        cosines, norms, active = normalise(gramian)
        if not len(norms):
            return losses.new_full(losses.shape, 1 / len(losses))
        sizes = np.ones_like(norms) if self.normalization in ("l2", "loss+") else norms
        if self._by_losses:
            sizes = sizes / self._checked(losses.numpy()[active], tasks.numpy()[active])
        return scatter(min_norm_point(directions(cosines) * sizes, sizes), active)

    def _checked(self, losses: Array, tasks: np.ndarray) -> Array:
        if losses.min() < 0:
            raise UserError(
                f"`normalization: {self.normalization}` needs positive losses, found {losses.min():g} for task "
                f"'{self.tasks[tasks[losses.argmin()]]}'; choose none or l2"
            )
        return losses
