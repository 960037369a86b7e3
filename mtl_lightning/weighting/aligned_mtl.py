"""Aligned-MTL: gradients made orthogonal and equally long."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from scipy.linalg import lapack
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.solvers import Array, SolverError, normalise, scatter
from mtl_lightning.weighting.spectrum import principal_components

ScaleMode = Literal["min", "median", "rmse"]

_WELL_CONDITIONED = 1e-6


class AlignedMTL(GramianWeighting):
    r"""Sums the nearest gradients that are orthogonal and equally long: their matrix has condition number 1.

    With the singular value decomposition :math:`J = U \Sigma V^\top` of the gradients, the aligned ones are
    :math:`\sigma U V^\top`, and the weights :math:`\sigma U \Sigma^{-1} U^\top 1`.

    Reference: Senushkin et al., "Independent Component Alignment for Multi-Task Learning" (CVPR 2023), algorithm 1; the
    other scale modes are from the authors' program and change the length of the direction alone. Difference: the
    preset weights of the tasks are 1, as in that program. With ``gradient_of: features`` it is the paper's
    Aligned-MTL-UB.

    Helps: where one gradient dominates or two conflict: gradients are made orthogonal and equally long before they are
    summed. It reaches the front from all starts of ``experiments/toy``. Fails: with ``scale_mode: min`` the step is as
    short as the smallest singular value: where gradients are nearly dependent, training slows down. Directions of small
    singular values, which may be noise, count as much as others, and a step can still increase a loss.

    Args:
        tasks: Names of the K tasks.
        scale_mode: What the length :math:`\sigma` of the aligned gradients is taken from: the smallest singular value,
            as in the paper (``min``), the median (``median``; the lower one of two) or the root of their mean square
            (``rmse``).
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> import torch
    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    >>> AlignedMTL(["a", "b"])(gramian, torch.ones(2), torch.arange(2))
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    def __init__(self, tasks: Sequence[str], scale_mode: ScaleMode = "min", log: bool = False) -> None:
        super().__init__(tasks, log)
        if scale_mode not in get_args(ScaleMode):
            raise UserError(f"`scale_mode` must be one of {', '.join(get_args(ScaleMode))}, found '{scale_mode}'")
        self.scale_mode = scale_mode

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        cosines, norms, active = normalise(gramian)
        if len(norms) == 0:
            return scatter(norms, active, rest=1.0)
        left, singular = singular_vectors(cosines, norms)
        scale = {
            "min": singular[-1],
            "median": singular[len(singular) // 2],
            "rmse": np.linalg.norm(singular) / len(singular) ** 0.5,
        }[self.scale_mode]
        return scatter(left @ (scale / singular * left.sum(0)), active, rest=1.0)


def singular_vectors(cosines: Array, norms: Array) -> tuple[Array, Array]:
    """The left singular vectors [A, R] of the gradients, and the singular values [R], falling.

    Where norms differ by orders of magnitude, or directions are linearly dependent, only Jacobi's method gets the small
    ones right.

    Args:
        cosines: Of the gradients [A, A].
        norms: Of the gradients, positive [A].
    """
    squares, left = np.linalg.eigh(cosines * norms * norms[:, None])
    if squares[0] > _WELL_CONDITIONED * len(norms) * squares[-1]:
        return left[:, ::-1], np.sqrt(squares[::-1])
    values, vectors = principal_components(cosines)
    full_vectors, graded, none = 0, 2, 3
    rows = norms[:, None] * vectors * np.sqrt(values)
    singular, left, _, work, _, failure = lapack.dgejsv(rows, joba=graded, jobu=full_vectors, jobv=none)
    if failure:
        raise SolverError(f"singular values: LAPACK's gejsv gave up with code {failure}")
    return left[:, : len(singular)], singular * (work[0] / work[1])
