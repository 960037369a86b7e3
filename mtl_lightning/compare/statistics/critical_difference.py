"""Which mean ranks differ by more than chance, after Demšar 2006."""

from functools import lru_cache

import numpy as np
from scipy import stats

from mtl_lightning.compare.statistics.score_table import Array
from mtl_lightning.intervals import ALPHA


def friedman_p(by_seed: Array) -> float:
    """Friedman's test that all contestants rank alike, with seeds as blocks.

    The contestants' mean ranks of a seed are ranked again, so that a block is one ranking. Metrics and tasks of one
    run are not independent, so they are no blocks of their own: a test whose blocks were tasks of seeds would find
    differences too easily. The χ² approximation errs on the safe side with few seeds.

    Args:
        by_seed: Mean ranks [N, S] of complete seeds.

    Returns:
        p, or not a number with fewer than three contestants or two seeds.
    """
    num_contestants, num_seeds = by_seed.shape
    if num_contestants < 3 or num_seeds < 2:
        return float("nan")
    if (by_seed == by_seed[:1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*by_seed).pvalue)


def critical_difference(num_contestants: int, num_seeds: int) -> float:
    """Nemenyi's critical difference of mean ranks, ``q(0.05, k) √(k (k + 1) / 6 N)`` (Demšar 2006, "Statistical
    Comparisons of Classifiers over Multiple Data Sets", sec. 3.2.2).

    Seeds are the N blocks, as in :func:`friedman_p`. The rank of a seed here is a mean over metrics, whose variance is
    at most that of one ranking: the difference is on the safe side, the more so the less the metrics agree.

    Returns:
        Not a number with fewer than two contestants or seeds.

    >>> round(critical_difference(4, 14), 2)  # Demšar's example, p. 16
    1.25
    """
    if num_contestants < 2 or num_seeds < 2:
        return float("nan")
    return _quantile(num_contestants) * float(np.sqrt(num_contestants * (num_contestants + 1) / (6 * num_seeds)))


@lru_cache
def _quantile(num_contestants: int) -> float:
    return float(stats.studentized_range.ppf(1 - ALPHA, num_contestants, np.inf) / np.sqrt(2))


def joined(names: list[str], mean_ranks: Array, difference: float) -> list[list[str]]:
    """The bars of the diagram: largest sets of two or more contestants whose mean ranks are within the difference.

    >>> joined(["a", "b", "c"], np.array([2.5, 1.0, 3.5]), 1.5)
    [['b', 'a'], ['a', 'c']]
    """
    order = sorted(range(len(names)), key=lambda i: (mean_ranks[i], names[i]))
    ranks = mean_ranks[order]
    bars: list[list[str]] = []
    end = 0
    for start in range(len(order)):
        stop = int(np.searchsorted(ranks - ranks[start], difference, side="right"))
        if stop > max(end, start + 1):
            bars.append([names[i] for i in order[start:stop]])
            end = stop
    return bars
