"""Mean ranks over tasks and metrics."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mtl_lightning.compare.statistics.score_table import Array, ScoreTable


@dataclass(frozen=True)
class Ranks:
    """Ranks of a pool of N contestants; 1 is best.

    Attributes:
        pool: Positions of the contestants in the table.
        by_seed: Mean rank over metrics, [N, S]; not a number in seeds in which not all of the pool were run.
        of_means: Mean over metrics of the ranks of the means over seeds, [N].
    """

    pool: list[int]
    by_seed: Array
    of_means: Array


def mean_rank(oriented: Array) -> Array:
    """Mean over metrics of the rank in the pool: the "MR" of Nash-MTL (Navon et al. 2022, sec. 6).

    Every metric counts the same; ties share the average of their ranks.

    Args:
        oriented: Scores [N, M], higher is better; what is not a number ranks last.
    """
    ranks: Array = stats.rankdata(-np.where(np.isnan(oriented), -np.inf, oriented), axis=0)
    return np.asarray(ranks.mean(axis=1))


def rank(table: ScoreTable) -> Ranks:
    """Ranks all contestants that were run, but the single-task models: these are not one model.

    A run that broke ranks last in its seed. The papers rank the means over seeds (``of_means``), which with one seed is
    the same; intervals and the critical difference need the ranks within seeds.
    """
    tried = table.finished | table.lost
    pool = [position for position in table.others if tried[position].any()]
    oriented = (table.values * table.sign)[pool][:, :, table.judged]
    by_seed = np.full(oriented.shape[:2], np.nan)
    if pool and oriented.shape[2]:
        for seed in np.flatnonzero(tried[pool].all(axis=0)):
            by_seed[:, seed] = mean_rank(oriented[:, seed])
    return Ranks(pool, by_seed, _rank_of_means(oriented))


def _rank_of_means(oriented: Array) -> Array:
    if not oriented.shape[2]:
        return np.full(len(oriented), np.nan)
    num = np.isfinite(oriented).sum(axis=1)
    return mean_rank(np.nansum(oriented, axis=1) / np.where(num, num, np.nan))
