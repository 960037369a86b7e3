"""The trace norm of a few long rows, without a singular value decomposition, for which the host would wait."""

from collections.abc import Sequence

import torch
from torch import Tensor

_SMOOTHING = 1e-10
"""What is added to the squares of the singular values, relative to their sum."""


def trace_norm(matrices: Sequence[Tensor]) -> Tensor:
    r"""The sum of the singular values of each matrix, a scalar.

    The gradient by a matrix M is :math:`(M M^T)^{-1/2} M`; as the norm is homogeneous, its product with M is the norm.
    Singular values below 1e-5 of the largest hardly count, so that the gradient is finite where rows are equal.

    Args:
        matrices: Each [K, D], of small K and any D.

    >>> trace_norm([torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.ones(2, 2)])
    tensor(9.)
    """
    with torch.no_grad():
        grams = torch.stack([matrix.double() @ matrix.double().T for matrix in matrices])
        roots = inverse_roots(grams)
        gradients = [(root @ matrix.double()).to(matrix) for root, matrix in zip(roots, matrices, strict=True)]
    products = [(gradient * matrix).sum() for gradient, matrix in zip(gradients, matrices, strict=True)]
    return torch.stack(products).sum()


def inverse_roots(grams: Tensor, num_steps: int = 40) -> Tensor:
    r"""The inverse square roots of positive semidefinite matrices, smoothed, by multiplications alone.

    The coupled Newton-Schulz iteration: Higham, "Functions of Matrices" (2008), equation 6.35.

    Args:
        grams: [..., K, K], float64.
        num_steps: Enough for the smoothing, which bounds the condition number.
    """
    identity = torch.eye(grams.shape[-1], dtype=grams.dtype, device=grams.device)
    total = grams.diagonal(dim1=-2, dim2=-1).sum(-1).clamp(min=torch.finfo(grams.dtype).tiny)[..., None, None]
    root, inverse = grams / total + _SMOOTHING * identity, identity.expand_as(grams)
    for _ in range(num_steps):
        factor = 1.5 * identity - 0.5 * inverse @ root
        root, inverse = root @ factor, factor @ inverse
    return inverse / total.sqrt()
