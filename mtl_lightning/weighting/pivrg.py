"""PIVRG, performance-informed variance reduction: FairGrad that favours tasks behind their single-task models."""

from collections.abc import Mapping, Sequence
from math import log

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.arguments import by_name, positive
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import Array, fair_weights, normalise, scatter


class PIVRG(GramianWeighting):
    r"""The weights :math:`x > 0` for which :math:`G x = \sqrt{\omega / x}`, where :math:`\omega` follows performance.

    Of the directions of its length, :math:`d = \sum_t x_t g_t` minimises :math:`\sum_t \omega_t / \langle g_t, d
    \rangle`: tasks gain more evenly than in the Nash bargaining solution. After each validation, over the T tasks
    present,

    .. math::
        \omega_t = \frac{T \exp(\Delta_t / \tau)}{\sum_i \exp(\Delta_i / \tau)}, \qquad
        \tau = \max\Bigl( \frac{\max_i \Delta_i - \min_i \Delta_i}{\log b}, \tau_0 \Bigr),

    so that no :math:`\omega_t` is more than b times another. :math:`\Delta_t` is how far the task is behind its
    single-task model, in percent of that. It is 0 until there is a validation of the task.

    Reference: Qin, Wang and Yan, "Revisiting Fairness in Multitask Learning: A Performance-Driven Approach for Variance
    Reduction" (CVPR 2025). The paper was not at hand: formulas and defaults are those of its authors' program for NYUv2
    and CelebA. Difference: performance is the validation loss, where there it is the mean change of the task's metrics,
    on scenes those of the epoch's training data; the equation is solved exactly, by Newton's method. Tasks whose
    gradients can cancel out are treated as in FairGrad. A task whose gradient is zero gets no weight.

    Helps: where the goal is that no task falls behind its single-task model, whose losses are known; no loss is
    increased. Fails: a task that overfits has a rising validation loss and is favoured all the more. Without clipping,
    small gradients give long steps.

    Args:
        tasks: Names of the K tasks.
        baselines: Validation loss of each task's single-task model, by name, above 0.
        bound: b, the largest ratio of two :math:`\omega_t`; above 1.
        min_temperature: :math:`\tau_0`, in percent; above 0.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> weighting = PIVRG(["a", "b"], {"a": 1.0, "b": 1.0})
    >>> weighting.on_validation_end(torch.tensor([2.0, 1.0], dtype=torch.float64), torch.arange(2))
    >>> weighting(torch.eye(2, dtype=torch.float64), torch.ones(2), torch.arange(2)) ** 3
    tensor([1.3333, 0.6667], dtype=torch.float64)
    """

    delays: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        baselines: Mapping[str, float],
        bound: float = 2.0,
        min_temperature: float = 10.0,
        log: bool = False,
    ) -> None:
        super().__init__(tasks, log)
        self.baselines = by_name("baselines", baselines, self.tasks).double()
        for name in self.tasks:
            positive(f"baselines.{name}", baselines[name])
        if not 1 < bound < float("inf"):
            raise UserError(f"`bound` must be a finite number above 1, found {bound}")
        self.bound = bound
        self.min_temperature = positive("min_temperature", min_temperature)
        self.add_state("delays", torch.zeros(len(self.tasks), dtype=torch.float64))

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        cosines, norms, active = normalise(gramian)
        if not len(norms):
            return losses.new_zeros(losses.shape)
        roots, largest = np.sqrt(self._importance(tasks.numpy())[active]), norms.max()
        sizes = norms / largest
        weights = fair_weights(cosines, roots / np.sqrt(sizes), 0.5) / sizes
        return scatter(weights * largest ** (-4 / 3), active)

    def _importance(self, tasks: Array) -> Array:
        """The omega of the tasks present, their mean 1 [T]."""
        delays = self.delays.numpy()[tasks]
        delays = delays - delays.max()
        importance: Array = np.exp(delays / max(-delays.min() / log(self.bound), self.min_temperature))
        importance /= importance.mean()
        return importance

    def on_validation_end(self, losses: Tensor, tasks: Tensor) -> None:
        finite = losses.isfinite()
        baselines = self.baselines[tasks][finite]
        self.delays[tasks[finite]] = 100 * (losses[finite].double() - baselines) / baselines
