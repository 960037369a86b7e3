"""SAM-GS, similarity-aware momentum gradient surgery: equal lengths where lengths differ, momentum where not."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.base import JacobianWeighting

_SMALLEST_SQUARE = 1e-8
"""Added to the mean square of the dissimilarity in each step, as in the authors' code."""


class SAMGS(JacobianWeighting):
    r"""Gives gradients the same length where their lengths differ much, and else multiplies them by their momentum.

    The similarity :math:`\bar\Phi` of a step is the mean of :math:`\Phi_{ij} = 2 |g_i| |g_j| / (|g_i|^2 + |g_j|^2)`
    over pairs of tasks. Where it is below :math:`\gamma`, the direction is :math:`\bar n \sum_t g_t / |g_t|`, with the
    mean length :math:`\bar n`. Elsewhere it is, element by element,

    .. math::
        \sum_t g_t \odot \frac{|\hat m_t|}{\sqrt{\hat v}}, \qquad
        m_t \leftarrow \beta_1 m_t + (1 - \beta_1) g_t, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) (1 - \bar\Phi)^2 + 10^{-8},

    where hats divide by :math:`1 - \beta^k` after k steps, as in Adam.

    Reference: Borsani, Rosani, Nicosia and Di Fatta, "Gradient Similarity Surgery in Multi-Task Deep Learning" (2025),
    algorithm 1, as in the authors' code. Difference: a task whose gradient is zero is in no pair and not in the mean
    length; the similarity of one gradient alone counts as 1. A task that is missing from a step keeps its momentum, and
    k counts its own steps.

    Helps: where gradients have very different lengths: below :math:`\gamma` none dominates. Fails: angles are not
    looked at, so that gradients in conflict stay in conflict. Above :math:`\gamma` the direction is quadratic in the
    gradients, and up to 1,000 times longer where their lengths agree: it needs an optimizer that is blind to scale,
    such as Adam, and clipping makes most steps equally long.

    Needs: memory for the K momenta.

    Args:
        tasks: Names of the K tasks.
        beta1: :math:`\beta_1`, the share of the momentum that is kept in a step; from 0 to below 1.
        beta2: :math:`\beta_2`, the same of the dissimilarity.
        gamma: :math:`\gamma`, the similarity below which gradients are made equally long; 0 to 1. The experiments of
            the authors' code have 0.7.

    >>> weighting = SAMGS(["a", "b"])
    >>> weighting.prepare(2)
    >>> weighting(torch.tensor([[1.0, 0.0], [0.0, 9.0]]), torch.ones(2), torch.arange(2))
    tensor([5., 5.])
    """

    momenta: Tensor
    steps: Tensor
    step: Tensor
    dissimilarity: Tensor

    def __init__(self, tasks: Sequence[str], beta1: float = 0.9, beta2: float = 0.99, gamma: float = 0.7) -> None:
        super().__init__(tasks)
        for name, beta in {"beta1": beta1, "beta2": beta2}.items():
            if not 0 <= beta < 1:
                raise UserError(f"`{name}` must be from 0 to below 1, found {beta}")
        if not 0 <= gamma <= 1:
            raise UserError(f"`gamma` must be from 0 to 1, found {gamma}")
        self.beta1, self.beta2, self.gamma = beta1, beta2, gamma
        self.register_buffer("steps", torch.zeros(len(self.tasks), dtype=torch.float64))
        self.register_buffer("step", torch.zeros((), dtype=torch.float64))
        self.register_buffer("dissimilarity", torch.zeros((), dtype=torch.float64))

    def prepare(self, num_parameters: int) -> None:
        self.register_buffer("momenta", torch.zeros(len(self.tasks), num_parameters))

    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(jacobian, dim=1, dtype=torch.float64)
        similarity = mean_similarity(norms)
        momenta, divisor = self._momenta(jacobian, tasks), self._root(similarity)
        modulated = (jacobian * momenta.abs()).sum(0) / divisor.to(jacobian)
        mean = norms.sum() / (norms > 0).sum().clamp(min=1)
        scales = torch.where(norms > 0, mean / norms, 0.0)
        return torch.where(similarity < self.gamma, scales.to(jacobian) @ jacobian, modulated)

    def _momenta(self, rows: Tensor, tasks: Tensor) -> Tensor:
        """Of the tasks present, without their bias towards zero [T, P]."""
        self.steps[tasks] += 1
        momenta = torch.lerp(rows, self.momenta[tasks].to(rows), self.beta1)
        self.momenta[tasks] = momenta.to(self.momenta)
        return momenta / (1 - self.beta1 ** self.steps[tasks]).to(rows).unsqueeze(1)

    def _root(self, similarity: Tensor) -> Tensor:
        """The root of the mean square of the dissimilarity, a scalar."""
        self.step += 1
        square = (1 - self.beta2) * (1 - similarity) ** 2 + _SMALLEST_SQUARE
        self.dissimilarity.mul_(self.beta2).add_(square)
        return (self.dissimilarity / (1 - self.beta2**self.step)).sqrt()


def mean_similarity(norms: Tensor) -> Tensor:
    """The mean over pairs of gradients, a scalar; 1 if there is none.

    Args:
        norms: Of the gradients, float64 [T]; those of zero are in no pair.

    >>> mean_similarity(torch.tensor([1.0, 0.0, 3.0], dtype=torch.float64))
    tensor(0.6000, dtype=torch.float64)
    """
    active = norms > 0
    pairs = (active[:, None] & active).triu(1)
    squares = norms.square()[:, None] + norms.square()
    similarities = torch.where(pairs, 2 * norms[:, None] * norms / torch.where(pairs, squares, 1.0), 0.0)
    number = pairs.sum()
    return torch.where(number > 0, similarities.sum() / number.clamp(min=1), 1.0)
