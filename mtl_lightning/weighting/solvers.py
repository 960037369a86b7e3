"""Algebra that the Gramian methods share: small, exact, on the host in float64, blind to the scale of the gradients.

Row i of the Jacobian is the gradient g_i = n_i b_i, with norm n_i and unit direction b_i. Problems are posed in the
directions, whose Gramian is the matrix of cosines, because norms may differ by many orders of magnitude. A tasks of the
T present have a gradient that is not zero.
"""

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.optimize import nnls
from torch import Tensor

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

_OPTIMALITY = 1e-8
_SMALLEST_EIGENVALUE = 1e-8
_NEWTON_STEPS = 500
_STEP_SIZES = 0.5 ** np.arange(60)
_LARGEST_CUT = 0.99
_LARGEST_NORM = 1e4
"""Of the weights of unit directions in a combination that is computed in float32; see ``project_on_dual_cone``."""


class SolverError(RuntimeError):
    """A solver did not reach the optimum. No finite gradients should cause it."""


def normalise(gramian: Tensor) -> tuple[Array, Array, Mask]:
    """Separates directions from norms, and tasks with a gradient from those without.

    Args:
        gramian: Inner products of the gradients [T, T], float64, on the host.

    Returns:
        Cosines [A, A] and norms [A] of the gradients that are not zero, and which of the T these are [T].

    >>> cosines, norms, active = normalise(torch.tensor([[4.0, 0.0, 3.0], [0.0, 0.0, 0.0], [3.0, 0.0, 9.0]]).double())
    >>> cosines.tolist(), norms.tolist(), active.tolist()
    ([[1.0, 0.5], [0.5, 1.0]], [2.0, 3.0], [True, False, True])
    """
    products = gramian.numpy()
    active = products.diagonal() > 0
    if not active.all():
        products = products[np.ix_(active, active)]
    norms = np.sqrt(products.diagonal())
    return products / norms / norms[:, None], norms, active


def scatter(values: Array, active: Mask, rest: float = 0.0) -> Tensor:
    """Weights [T] of all tasks from those of the active ones.

    Args:
        values: Weights of the tasks with a gradient [A].
        active: Which tasks these are [T].
        rest: Weight of the others.
    """
    weights = np.full(len(active), rest)
    weights[active] = values
    return torch.from_numpy(weights)


def directions(cosines: Array) -> Array:
    """Unit vectors with these cosines, as columns [R, A]; with the nearest cosines that exist, where rounding erred."""
    columns: Array
    columns, failed = lapack.dpotrf(cosines)
    if failed:
        values, vectors = np.linalg.eigh(cosines)
        columns = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return columns


def nonnegative_least_squares(columns: Array, target: Array) -> Array:
    r"""The :math:`x \ge 0` [A] that minimises :math:`|M x - y|`.

    Args:
        columns: M, its columns of norm about 1 [R, A].
        target: y, of norm about 1 [R].

    Raises:
        SolverError: If the optimality conditions do not hold.
    """
    try:
        solution: Array = nnls(columns, target, maxiter=30 * columns.shape[1])[0]
    except RuntimeError as error:
        raise SolverError(f"non-negative least squares: {error}") from error
    slopes = columns.T @ (columns @ solution - target)
    missed = max(-slopes.min(), np.abs(slopes[solution > 0]).max(initial=0.0))
    if not missed <= _OPTIMALITY * (1.0 + solution.sum()):
        raise SolverError(f"non-negative least squares: the optimality conditions are missed by {missed:.1e}")
    return solution


def project_on_dual_cone(rows: Array, vector: Array) -> Array:
    r"""What brings a vector to the nearest point of the dual cone :math:`\{d : \langle b_i, d \rangle \ge 0\}`.

    Directions that nearly cancel out make a cone so thin that its points take weights without bound. But gradients are
    combined in float32, which is right to 6e-8 of the norm of the weights, so that such a point hurts tasks once it is
    computed. Therefore weights are exact as long as their norm is at most :math:`S = 10^4`: two directions may be
    within 0.006 degrees of opposite. Beyond, they are those for which :math:`|d|^2 + |x|^2 / S^2` is least. Their norm
    is then at most S, too, and :math:`\langle b_i, d \rangle \ge -x_i / S^2 \ge -10^{-4}`: nearly opposite directions
    count as opposite, and what is left is orthogonal to them.

    Args:
        rows: The b_i, of norm 1, as columns [R, A].
        vector: What to project, of norm about 1 [R].

    Returns:
        Weights x of the b_i, not negative, whose combination is to be added [A].
    """
    weights = nonnegative_least_squares(rows, -vector)
    if weights @ weights <= _LARGEST_NORM**2:
        return weights
    num_rows = rows.shape[1]
    bounded = np.vstack([rows, np.eye(num_rows) / _LARGEST_NORM])
    return nonnegative_least_squares(bounded, np.append(-vector, np.zeros(num_rows)))


def min_norm_point(points: Array, sizes: Array) -> Array:
    r"""The weights :math:`w` on the simplex for which :math:`|\sum_i w_i p_i|` is least.

    They are those of the :math:`v \ge 0` that minimises :math:`|\sum_i v_i p_i|^2 + (1 - \sum_i v_i)^2`, made to sum to
    one: along a ray, this is the less the shorter the point at which the sum is one. Of two points, it is the foot of
    the perpendicular on the line between them, or the nearer end.

    Args:
        points: The p_i, as columns [R, A].
        sizes: Positive bounds of their norms, as tight as is easy [A].

    Returns:
        The weights [A].
    """
    if len(sizes) == 2:
        apart = points[:, 1] - points[:, 0]
        pair = np.maximum([points[:, 1] @ apart, -points[:, 0] @ apart], 0.0)
        return pair / pair.sum() if pair.any() else np.full(2, 0.5)
    columns = np.vstack([points / sizes, sizes.min() / sizes])
    target = np.zeros(len(columns))
    target[-1] = 1.0
    weights: Array = nonnegative_least_squares(columns, target) / sizes
    weights /= weights.sum()
    return weights


def least_on_simplex(points: Array, slopes: Array, start: Array) -> Array:
    r"""The weights :math:`w` on the simplex for which :math:`|\sum_i w_i p_i|^2 / 2 + \sum_i w_i b_i` is least.

    From a start on, those that would get no weight leave, and the point with the most negative slope joins those that
    have some. Points count as different by 1e-6; of several that do as well, only some have weight.

    Args:
        points: The p_i, of norm at most about 1, as columns [R, A].
        slopes: The b_i [A].
        start: Weights to begin with, on the simplex; the sooner done the nearer they are [A].

    Raises:
        SolverError: If the optimality conditions are not reached.
    """
    num_points = len(slopes)
    scale = 1.0 + float(np.abs(slopes).max())
    hessian, slopes = points.T @ points / scale + 1e-12 * np.eye(num_points), slopes / scale
    weights: Array = start
    free = start > 0
    for _ in range(30 * num_points):
        target = _balanced(hessian, slopes, free)
        while (shrinking := free & (target <= 0)).any():
            steps = np.full(num_points, np.inf)
            steps[shrinking] = weights[shrinking] / (weights - target)[shrinking]
            weights = np.maximum(weights + steps.min() * (target - weights), 0.0)
            free &= steps > steps.min()
            weights[~free] = 0.0
            target = _balanced(hessian, slopes, free)
        weights = target / float(target.sum())
        rise = hessian @ weights + slopes
        if rise.min() >= float(rise @ weights) - 1e-11:
            found: Array = weights
            return found
        free[rise.argmin()] = True
    raise SolverError("quadratic on the simplex: the optimality conditions are not reached")


def _balanced(hessian: Array, slopes: Array, free: Mask) -> Array:
    """The weights [A] of sum one, of any sign, that are least where only some may differ from zero."""
    chosen = np.flatnonzero(free)
    system = np.ones((len(chosen) + 1, len(chosen) + 1))
    system[:-1, :-1], system[-1, -1] = hessian[chosen][:, chosen], 0.0
    level = slopes[chosen[0]]
    weights = np.zeros(len(slopes))
    weights[chosen] = np.linalg.solve(system, np.append(level - slopes[chosen], 1.0))[:-1]
    return weights


def fair_weights(cosines: Array, scales: Array, exponent: float) -> Array:
    r"""The :math:`a > 0` that solves :math:`(C a)_i = c_i a_i^{-e}`, by Newton's method.

    There the convex :math:`\frac12 a^\top C a - \sum_i \int c_i a_i^{-e} da_i` is least. There is no minimum if
    some of the gradients can cancel out. Therefore eigenvalues of C below 1e-8, which gradients in float32 do not
    resolve, count as 1e-8: the weights of gradients that cancel out are large but finite, so that their combination
    vanishes.

    Args:
        cosines: C [A, A].
        scales: c, positive [A].
        exponent: e, positive.

    Returns:
        The weights a of the unit gradients [A].

    Raises:
        SolverError: If Newton's method does not converge.
    """
    values, vectors = np.linalg.eigh(cosines)
    cosines = (vectors * np.maximum(values, _SMALLEST_EIGENVALUE)) @ vectors.T
    alone = scales ** (1 / (1 + exponent))
    a: Array = alone * (alone @ alone / (alone @ cosines @ alone)) ** (1 / (1 + exponent))
    for _ in range(_NEWTON_STEPS):
        pushes = scales * a**-exponent
        slopes, hessian = cosines @ a - pushes, cosines + np.diag(exponent * pushes / a)
        _, step, failed = lapack.dposv(hessian, -slopes)
        if failed:
            break
        if step @ hessian @ step <= 1e-13 * (a @ pushes):
            a += np.maximum(step, -_LARGEST_CUT * a)
            return a
        for size in _STEP_SIZES:
            move = np.maximum(size * step, -_LARGEST_CUT * a)
            after = cosines @ (a + move) - scales * (a + move) ** -exponent
            if slopes @ move < 0 and after @ move <= -0.5 * (slopes @ move):
                break
        a += move
    raise SolverError(f"fair weights: Newton's method found no solution in {_NEWTON_STEPS} steps")
