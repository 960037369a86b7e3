"""DualProj: the mean gradient, freed from its conflicts with the tasks' gradients."""

from torch import Tensor

from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import directions, normalise, project_on_dual_cone, scatter


class DualProj(GramianWeighting):
    r"""The direction nearest to the mean gradient :math:`g_0` that hurts no task.

    .. math:: \min_d |d - g_0|^2 \quad \text{subject to} \quad \langle g_t, d \rangle \ge 0 \; \forall t

    Reference: Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning" (NeurIPS 2017), section 3.
    Difference: there the gradient of the task being learned is projected, and those of past tasks constrain it; here it
    is the mean over tasks, and all constrain it. No margin is added to the solution of the dual problem. Gradients that
    cancel out to within 0.006 degrees count as opposite, as float32 cannot combine them; see
    :func:`.solvers.project_on_dual_cone`.

    Helps: where no task may get worse and the mean loss is the goal: to first order no step increases a loss, and
    without a conflict it is the mean of the gradients. Fails: the mean is dominated by the longest gradient, and so is
    its projection. In ``experiments/toy`` it crawls along the valley from the hard start.

    Args:
        tasks: Names of the K tasks.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> import torch
    >>> gramian = torch.tensor([[1.0, -2.0], [-2.0, 8.0]], dtype=torch.float64)
    >>> DualProj(["a", "b"])(gramian, torch.ones(2), torch.arange(2))
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        mean = 1 / len(losses)
        cosines, norms, active = normalise(gramian)
        if not len(norms):
            return losses.new_full(losses.shape, mean)
        sizes, rows = norms / norms.max(), directions(cosines)
        return scatter(mean + project_on_dual_cone(rows, rows @ sizes * mean) / sizes, active, rest=mean)
