"""SAMO: each task's gradient where its loss is larger, found from one gradient and forward passes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.base import Weighting
from mtl_lightning.weighting.fairgrad import FairGrad
from mtl_lightning.weighting.sharpness import SharpnessAware, Values


class SAMO(SharpnessAware):
    r"""Another method combines the tasks' gradients, each at parameters to which the gradient of the sum of the losses
    and an estimate of the task's own lead uphill.

    With the gradient :math:`g` of the sum of the losses, and a slope :math:`\hat g_t` of the task's loss that is
    estimated from two forward passes at normal :math:`z_t`,

    .. math::
        \hat g_t = \frac{\ell_t(\theta + \mu z_t) - \ell_t(\theta - \mu z_t)}{2 \mu} \, z_t, \qquad
        p_t = \alpha g + (1 - \alpha) \lVert g \rVert \frac{\hat g_t}{\lVert \hat g_t \rVert}, \qquad
        s_t = \nabla \ell_t \Bigl(\theta + \rho \frac{p_t}{\lVert p_t \rVert}\Bigr),

    where :math:`p_t` is made for each parameter tensor by itself, and only :math:`\lVert p_t \rVert` is of all. Of the
    two losses, their order alone counts. A head is moved by :math:`\rho` along its own gradient at the same time, and
    trains with the gradient there.

    Reference: Ban, Subramani and Ji, "SAMO: A Lightweight Sharpness-Aware Approach for Multi-Task Optimization with
    Joint Global-Local Perturbation" (ICCV 2025, arXiv 2507.07883). The paper's formulas were not at hand: those above,
    and the defaults, are of its authors' program and scripts. Difference: a task whose two losses are equal has the
    first part alone; where a step is made of several batches, :math:`g` is the sum of their gradients; FairGrad has
    this package's ``alpha``, where the program takes 2.

    Needs: gradients at perturbed parameters: after an ordinary step's passes, three forward passes, two of them without
    a graph, and a backward pass for each task; memory for K + 1 gradients and two copies of the parameters.

    Helps: as :class:`FSMTL` does, without memory for the tasks' gradients at the original parameters. Around FairGrad
    it reaches the front from all starts of ``experiments/toy``, as FairGrad does. Fails: it is
    lightweight in memory alone: where one data set labels all K tasks, its two forward passes take the time of the
    backward pass that they save. A random direction in many dimensions is nearly at right angles to the task's own
    gradient, so that the second part of the perturbation is mostly noise of the right sign; and as each parameter
    tensor is scaled by itself, the task's loss need not be larger there.

    Args:
        tasks: Names of the K tasks.
        weighting: The method: a Gramian one, or one of constant weights; its options are its own.
        rho: :math:`\rho`, positive.
        alpha: :math:`\alpha`, the share of the gradient of the sum, from 0 to 1.
        mu: :math:`\mu`, positive.
        adaptive: Whether to measure each parameter's change relative to it.
        seed: Of the random numbers; null: the seed of the run.

    >>> from mtl_lightning.weighting import MGDA
    >>> SAMO(["a", "b"], MGDA)(torch.diag(torch.tensor([1.0, 3.0])).double(), torch.ones(2), torch.arange(2))
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    def __init__(
        self,
        tasks: Sequence[str],
        weighting: Callable[[Sequence[str]], Weighting] = FairGrad,
        rho: float = 1e-3,
        alpha: float = 0.5,
        mu: float = 0.01,
        adaptive: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(tasks, weighting, rho, adaptive)
        if not 0 <= alpha <= 1:
            raise UserError(f"`alpha` must be from 0 to 1, found {alpha}")
        self.alpha, self.mu = alpha, positive("mu", mu)
        self.add_random_state(seed)

    def perturb(self, parameters: Values, gradients: Values, loss_at: Callable[[Values], Tensor]) -> Values:
        generator = self.generator(gradients[0].device)
        drawn = [torch.randn(g.shape, generator=generator, device=g.device, dtype=g.dtype) for g in gradients]
        steps = torch._foreach_mul(drawn, self.mu)
        up = loss_at(steps)
        torch._foreach_neg_(steps)
        sign = (up - loss_at(steps)).sign().to(drawn[0])
        of_sum, of_drawn = (torch.stack(torch._foreach_norm(each)) for each in ([*gradients], drawn))
        shares = (1 - self.alpha) * sign * of_sum / of_drawn
        torch._foreach_mul_(drawn, [*shares])
        torch._foreach_add_(drawn, [*gradients], alpha=self.alpha)
        return self.ascent(parameters, drawn)
