"""Eigenvalues of the matrix of cosines, without those that rounding explains, and what follows from them."""

import numpy as np
from scipy.linalg import lapack

from mtl_lightning.weighting.solvers import Array

ROUNDING = 1e-12
"""The eigenvalue, for each direction, that rounding explains. Gradients in float32 that should be dependent miss it by
1e-7, by 1e-6 after many operations, and the eigenvalue is the square of that. Two directions are dependent within 1e-4
degrees, and no farther: their products are summed in float64, which resolves eigenvalues of 1e-15."""

_WELL_CONDITIONED = 1e-6
"""The reciprocal condition number above which no eigenvalue is near rounding."""


def principal_components(cosines: Array) -> tuple[Array, Array]:
    """The eigenvalues [R], ascending, and eigenvectors [A, R] that span the gradients.

    The rank R is the number of eigenvalues above the rounding errors. It is that of the directions: a gradient does not
    count as dependent because it is short.

    Args:
        cosines: Of the gradients [A, A].

    >>> principal_components(np.array([[1.0, 1.0 - 1e-14], [1.0 - 1e-14, 1.0]]))[0].round(6).tolist()
    [2.0]
    """
    values, vectors = np.linalg.eigh(cosines)
    kept = values > ROUNDING * len(cosines)
    return values[kept], vectors[:, kept]


def equal_projections(cosines: Array) -> Array | None:
    r"""The coefficients :math:`\beta` [A] for which :math:`d = \sum_i \beta_i b_i` projects to 1 on every direction.

    Where directions are linearly dependent there may be no such d, and it is the one that least squares give:
    :math:`\beta = C^+ 1`, the shortest of several.

    Args:
        cosines: C, of the gradients [A, A].

    Returns:
        The coefficients; none if the directions sum to zero, in which case no d projects well on all.

    >>> equal_projections(np.array([[1.0, 0.5], [0.5, 1.0]])).round(6).tolist()
    [0.666667, 0.666667]
    >>> equal_projections(np.array([[1.0, -1.0], [-1.0, 1.0]])) is None
    True
    """
    if (solution := _solve(cosines, np.ones(len(cosines)))) is not None:
        return solution
    values, vectors = principal_components(cosines)
    shares = vectors.sum(0)
    if shares @ shares <= ROUNDING * len(cosines):
        return None
    coefficients: Array = vectors @ (shares / values)
    return coefficients


def _solve(matrix: Array, target: Array) -> Array | None:
    """The solution of a system that is positive definite beyond doubt, at a fifth of what its eigenvalues cost."""
    if len(matrix) == 0:
        return None
    factor, failed = lapack.dpotrf(matrix)
    if failed or lapack.dpocon(factor, np.abs(matrix).sum(0).max())[0] < _WELL_CONDITIONED:
        return None
    solution: Array = lapack.dpotrs(factor, target)[0]
    return solution
