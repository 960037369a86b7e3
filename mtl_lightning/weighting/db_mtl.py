"""DB-MTL: logarithms of the losses, gradients of equal length."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.base import JacobianWeighting

_SMALLEST_LOSS = 1e-8


class DBMTL(JacobianWeighting):
    r"""Balances the losses by their logarithm, and the gradients by stretching all to the longest.

    The gradients of the logarithms, :math:`\nabla \log(\ell_t + 10^{-8})`, are averaged over steps,
    :math:`\hat g_t \leftarrow \beta_k \hat g_t + (1 - \beta_k) \nabla \log(\ell_t + 10^{-8})` from zero with
    :math:`\beta_k = \beta / k^\sigma`, and the direction is
    :math:`\max_t |\hat g_t| \, \sum_t \hat g_t / |\hat g_t|`.

    Reference: Lin et al., "Dual-Balancing for Multi-Task Learning" (Neural Networks 2025; arXiv 2308.12029), algorithm
    1, equations 1 and 2. Difference: k counts the steps in which the task was present, and no epsilon is added to
    norms. The heads receive the gradient of their loss, not of its logarithm. Losses must be positive: a loss of zero
    has nothing to gain, and the gradient of its logarithm counts as zero; a step with a negative one is skipped.

    Helps: where both losses and gradients differ in scale: the direction depends on neither. It reaches the front from
    all starts of ``experiments/toy``. Fails: the step is up to K times as long as the longest gradient of a logarithm,
    which grows as a loss approaches zero. At the learning rate of the others it was shown to be much worse than equal
    weights in ``experiments/multimnist``.

    Needs: memory for the K averaged gradients, unless ``beta`` is 0.

    Args:
        tasks: Names of the K tasks.
        beta: Share of the average that is kept in a step; from 0 to below 1.
        beta_sigma: How fast that share falls; at least 0. The paper chooses from 0 and 0.5.

    >>> weighting = DBMTL(["a", "b"], beta=0.0)
    >>> weighting(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([3.0, 1.0]), torch.arange(2))
    tensor([4., 4.])
    """

    domain = "losses of at least 0"
    average: Tensor
    steps: Tensor

    def __init__(self, tasks: Sequence[str], beta: float = 0.9, beta_sigma: float = 0.0) -> None:
        super().__init__(tasks)
        if not 0 <= beta < 1:
            raise UserError(f"`beta` must be from 0 to below 1, found {beta}")
        if not 0 <= beta_sigma < float("inf"):
            raise UserError(f"`beta_sigma` must be a finite number of at least 0, found {beta_sigma}")
        self.beta = beta
        self.beta_sigma = beta_sigma

    def prepare(self, num_parameters: int) -> None:
        if self.beta > 0:
            self.register_buffer("average", torch.zeros(len(self.tasks), num_parameters))
            self.register_buffer("steps", torch.zeros(len(self.tasks)))

    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        slopes = torch.where(losses > 0, 1 / (losses + _SMALLEST_LOSS), 0.0)
        slopes = torch.where(losses < 0, torch.nan, slopes)
        rows = jacobian * slopes.to(jacobian).unsqueeze(1)
        if self.beta > 0:
            self.steps[tasks] += 1
            beta = (self.beta / self.steps[tasks] ** self.beta_sigma).to(rows)
            rows = torch.lerp(rows, self.average[tasks].to(rows), beta.unsqueeze(1))
            self.average[tasks] = rows.to(self.average)
        norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
        scales = torch.where(norms > 0, norms.max() / norms, 0.0)
        return scales.to(rows) @ rows

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses < 0
