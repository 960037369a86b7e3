"""ExcessMTL: weight for the tasks that are farthest from convergence."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.base import JacobianWeighting


class ExcessMTL(JacobianWeighting):
    r"""Raises the weights of tasks by their excess risk, the loss that training can still take off.

    The excess risk of a task is estimated by :math:`e_t = g_t^\top H_t^{-1} g_t` with the diagonal
    :math:`H_t = \sqrt{\sum_k g_{t,k}^2}` over the steps k until now, and is measured in units of its first value,
    :math:`e_t(0)`. The weights follow
    :math:`w_t \leftarrow w_t \exp(\eta \, e_t / e_t(0))`, scaled to sum to K.

    Reference: He et al., "Robust Multi-Task Learning with Excess Risks" (ICML 2024), equations 6, 7 and 9, algorithm 1.
    Difference: the sum of the weights is K and the unit of the excess risk that of the first step, as in the authors'
    program, where the paper has 1 and the mean of the first epochs; no epsilon in :math:`H_t`; tasks present keep the
    sum of their weights.

    Helps: where labels of some tasks are noisy: what counts is how much a loss can still fall, not how large it is.
    (The paper's claim; not measured here.) Fails: weights move slowly: at the default rate a task needs 100 steps of
    undiminished excess risk to gain a factor e. In ``experiments/toy`` it does no better than equal weights, and in
    ``experiments/multimnist`` no difference from them was shown.

    Needs: memory for K sums of squared gradients.

    Args:
        tasks: Names of the K tasks.
        robust_step_size: The rate :math:`\eta`; positive.

    >>> weighting = ExcessMTL(["a", "b"])
    >>> weighting.prepare(2)
    >>> weighting(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.ones(2), torch.arange(2))
    tensor([1., 2.])
    """

    curvature: Tensor
    initial_risks: Tensor
    log_weights: Tensor

    def __init__(self, tasks: Sequence[str], robust_step_size: float = 1e-2) -> None:
        super().__init__(tasks)
        self.robust_step_size = positive("robust_step_size", robust_step_size)
        self.register_buffer("initial_risks", torch.zeros(len(self.tasks), dtype=torch.float64))
        self.register_buffer("log_weights", torch.zeros(len(self.tasks), dtype=torch.float64))

    def prepare(self, num_parameters: int) -> None:
        self.register_buffer("curvature", torch.zeros(len(self.tasks), num_parameters))

    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        curvature = torch.hypot(self.curvature[tasks].to(jacobian), jacobian)
        self.curvature[tasks] = curvature.to(self.curvature)
        newton = torch.where(curvature > 0, jacobian / curvature, 0.0)
        risks = (jacobian * newton).sum(1, dtype=torch.float64)
        initial = torch.where(self.initial_risks[tasks] > 0, self.initial_risks[tasks], risks)
        self.initial_risks[tasks] = initial
        relative = torch.where(initial > 0, risks / initial, 0.0)
        old = self.log_weights[tasks]
        log_weights = torch.log_softmax(old + self.robust_step_size * relative, dim=0) + old.logsumexp(0)
        self.log_weights[tasks] = log_weights
        return log_weights.exp().to(jacobian) @ jacobian
