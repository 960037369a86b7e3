"""Whole numbers of draws from shares: exact within an epoch, fair over epochs."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import accumulate, pairwise
from math import floor, sqrt

import numpy as np

_GOLDEN_RATIO = (sqrt(5) - 1) / 2


def exact_shares(weights: Mapping[str, float]) -> dict[str, Fraction]:
    """Weights divided by their sum, as fractions of the numbers that one reads: 0.3 is 3/10.

    Rounding errors would otherwise lengthen an epoch by a step or leave out a batch.

    >>> exact_shares({"a": 0.6, "b": 0.3})
    {'a': Fraction(2, 3), 'b': Fraction(1, 3)}
    """
    fractions = {name: Fraction(repr(float(weight))) for name, weight in weights.items()}
    total = sum(fractions.values())
    return {name: fraction / total for name, fraction in fractions.items()}


def apportioned(shares: Iterable[Fraction], num_draws: int, seed: int, epoch: int) -> list[int]:
    r"""Number of draws for each share in one epoch.

    Each is its share of the draws, rounded down or up, and they sum to ``num_draws``: with :math:`S_i` the sum of the
    first i remainders, the i-th is rounded up if a point :math:`u + 1, u + 2, \ldots` lies in
    :math:`(S_{i-1}, S_i]` - Madow's systematic sampling. From epoch to epoch u turns by the golden ratio, which spreads
    the points so evenly that, with shares that stay the same, a remainder f is rounded up once in at most
    :math:`\lceil 2 / f \rceil` epochs, and the draws over a run differ from their expectation by hardly more than 1.

    Reference: Madow, "On the Theory of Systematic Sampling, II" (Annals of Mathematical Statistics 20, 1949).

    Args:
        shares: Not negative; they sum to 1.
        num_draws: In an epoch.
        seed: Of the run; it chooses u in epoch 0.
        epoch: Number of the epoch, from 0.

    >>> third = Fraction(1, 3)
    >>> [apportioned([third, third, third], 4, seed=0, epoch=epoch) for epoch in range(3)]
    [[1, 2, 1], [1, 1, 2], [2, 1, 1]]
    """
    quotas = [share * num_draws for share in shares]
    turned = Fraction((np.random.default_rng(seed).random() + epoch * _GOLDEN_RATIO) % 1.0)
    ends = accumulate((quota - floor(quota) for quota in quotas), initial=turned)
    ups = [floor(end) - floor(start) for start, end in pairwise(ends)]
    return [floor(quota) + up for quota, up in zip(quotas, ups, strict=True)]
