"""MoCo: the min-norm weights of gradients that are tracked over steps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.base import JacobianWeighting
from mtl_lightning.weighting.inner_products import gramian_on_device


class MoCo(JacobianWeighting):
    r"""Tracks the gradients, and moves the weights a step towards those of the shortest combination.

    In step k, :math:`y_t \leftarrow y_t - \beta_k (y_t - h_t)` from zero,
    :math:`\lambda \leftarrow \Pi(\lambda - \gamma_k (Y^\top Y + \rho I) \lambda)` from 1/K, and the direction is
    :math:`Y \lambda`; :math:`\Pi` projects on the simplex, :math:`\beta_k = \beta / k^{\sigma_\beta}` and
    :math:`\gamma_k = \gamma / k^{\sigma_\gamma}`. The :math:`h_t` are the gradients, each as long as its loss is large
    (its absolute value).

    Reference: Fernando et al., "Mitigating Gradient Bias in Multi-objective Learning: A Provably Convergent Approach"
    (ICLR 2023), algorithm 1; arguments and the length of :math:`h_t` as in the program that LibMTL has from the
    authors. Difference: that program takes a softmax for the projection. The tracked gradients are not kept within a
    ball. In :math:`\beta_k`, k counts the steps in which the task was present; tasks present keep the sum of their
    :math:`\lambda`, and in the direction those sum to one.

    Helps: with small batches: the weights come from gradients averaged over steps, less noisy than those of one batch.
    It reaches the front from all starts of ``experiments/toy``. Fails: with its defaults it was shown to be much worse
    than equal weights in ``experiments/multimnist``; other rates were not tried. With ``normalize`` a task whose loss
    is large dominates.

    Needs: memory for the K tracked gradients.

    Args:
        tasks: Names of the K tasks.
        beta: Rate of the tracked gradients; above 0, at most 1.
        beta_sigma: How fast that rate falls; at least 0.
        gamma: Rate of the weights; positive.
        gamma_sigma: How fast that rate falls; at least 0.
        rho: Pull of the weights towards equality; at least 0.
        normalize: Whether gradients are made as long as their losses are large; the paper's algorithm takes them as
            they are.

    >>> weighting = MoCo(["a", "b"], beta=1.0, normalize=False)
    >>> weighting.prepare(2)
    >>> weighting(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.ones(2), torch.arange(2))
    tensor([0.5750, 0.8500])
    """

    tracked: Tensor
    steps: Tensor
    step: Tensor
    weights: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        beta: float = 0.5,
        beta_sigma: float = 0.5,
        gamma: float = 0.1,
        gamma_sigma: float = 0.5,
        rho: float = 0.0,
        normalize: bool = True,
    ) -> None:
        super().__init__(tasks)
        if positive("beta", beta) > 1:
            raise UserError(f"`beta` must be at most 1, found {beta}")
        for argument, value in {"beta_sigma": beta_sigma, "gamma_sigma": gamma_sigma, "rho": rho}.items():
            if not 0 <= value < float("inf"):
                raise UserError(f"`{argument}` must be a finite number of at least 0, found {value}")
        self.beta, self.beta_sigma = beta, beta_sigma
        self.gamma, self.gamma_sigma = positive("gamma", gamma), gamma_sigma
        self.rho = rho
        self.normalize = normalize
        num_tasks = len(self.tasks)
        self.register_buffer("weights", torch.full((num_tasks,), 1 / num_tasks, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros(num_tasks))
        self.register_buffer("step", torch.zeros(()))

    def prepare(self, num_parameters: int) -> None:
        self.register_buffer("tracked", torch.zeros(len(self.tasks), num_parameters))

    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        rows = with_norms(jacobian, losses.abs()) if self.normalize else jacobian
        self.step += 1
        self.steps[tasks] += 1
        beta = (self.beta / self.steps[tasks] ** self.beta_sigma).to(rows)
        rows = torch.lerp(self.tracked[tasks].to(rows), rows, beta.unsqueeze(1))
        self.tracked[tasks] = rows.to(self.tracked)
        total = self.weights[tasks].sum()
        weights = torch.where(total > 0, self.weights[tasks] / total, 1 / len(tasks))
        slope = gramian_on_device(rows) @ weights + self.rho * weights
        weights = project_on_simplex(weights - self.gamma / self.step**self.gamma_sigma * slope)
        self.weights[tasks] = weights * total
        return weights.to(rows) @ rows


def with_norms(rows: Tensor, norms: Tensor) -> Tensor:
    """Rows [T, P] scaled to have norms [T]; a row of zeros stays."""
    lengths = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return rows * torch.where(lengths > 0, norms / lengths, 0.0).to(rows).unsqueeze(1)


def project_on_simplex(point: Tensor) -> Tensor:
    """The nearest point [T] whose entries are not negative and sum to one, without a device synchronisation.

    >>> project_on_simplex(torch.tensor([1.5, 0.5, -1.0]))
    tensor([1., 0., 0.])
    """
    point = point - point.max()
    falling = point.sort(descending=True).values
    thresholds = (falling.cumsum(0) - 1) / torch.arange(1, len(point) + 1, device=point.device)
    return (point - thresholds.gather(0, (falling > thresholds).sum(0, keepdim=True) - 1)).clamp(min=0)
