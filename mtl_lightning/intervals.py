"""Means over seeds and how well they are known."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

ALPHA = 0.05
"""How often an interval may miss, or a family of tests make a false claim."""


class Interval(NamedTuple):
    """Means with their confidence intervals, and the number of values that they are of."""

    mean: Array
    low: Array
    high: Array
    num: NDArray[np.int64]


def t_interval(values: Array, axis: int = -1, overlap: float = 0.0) -> Interval:
    """Mean and 95 % confidence interval of Student's t distribution, ``mean ± t(0.975, n - 1) s / √n``.

    Runs whose training sets overlap are not independent: instead of 1 / n, the variance of the mean is taken to be
    ``1 / n + overlap`` of that of a run (Nadeau and Bengio 2003, "Inference for the Generalization Error", section 5,
    the corrected resampled t-test).

    It holds for means of normal values. Scores of a few seeds are not always that, but with five values no method that
    assumes less gives an interval that is of use.

    Args:
        values: Values over seeds along ``axis``; what is not a number is left out.
        axis: The axis of the seeds.
        overlap: What training sets have in common, n_test / n_train; see :attr:`.Evidence.overlap`.

    Returns:
        The interval is not a number where there are fewer than two values, and has no width where all are equal.
    """
    finite = np.isfinite(values)
    num = finite.sum(axis=axis)
    some = np.where(num > 0, num, np.nan)
    smallest = np.where(finite, values, np.inf).min(axis=axis, initial=np.inf)
    largest = np.where(finite, values, -np.inf).max(axis=axis, initial=-np.inf)
    # Without this, the mean of equal values is off by rounding, and their interval has a width.
    mean = np.where(smallest == largest, smallest, np.where(finite, values, 0.0).sum(axis=axis) / some)
    squares = np.where(finite, values - np.expand_dims(mean, axis), 0.0) ** 2
    degrees = np.where(num > 1, num - 1, np.nan)
    half = stats.t.ppf(1 - ALPHA / 2, degrees) * np.sqrt(squares.sum(axis=axis) / degrees * (1 / some + overlap))
    return Interval(mean, mean - half, mean + half, num)
