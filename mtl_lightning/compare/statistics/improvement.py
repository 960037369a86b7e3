"""How likely a run of one contestant is better than a run of another."""

import zlib
from itertools import combinations

import numpy as np
import pandas as pd

from mtl_lightning.compare.statistics.overall import Overall
from mtl_lightning.compare.statistics.score_table import Array
from mtl_lightning.intervals import ALPHA

RESAMPLES = 2000
COLUMNS = ["first", "second", "probability", "low", "high"]


def improvement(contestants: list[str], overall: Overall) -> pd.DataFrame:
    """Probability of improvement of each pair, with a bootstrap interval.

    ``P(X > Y)`` is the share of all pairs of a run of the one and a run of the other in which the first is better; ties
    count one half (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
    sec. 4, from Mann and Whitney 1947). The stratified bootstrap draws runs again within each contestant; here a run
    has one overall score, where they average over tasks that were run separately. That seeds pair the runs is not used,
    which makes intervals wider where runs of a seed go up and down together. Still, percentile intervals of five runs
    are too narrow (91 % of them hold the truth where noise is normal), and [1, 1] means that every run was better, not
    that every run will be.

    Args:
        contestants: Names.
        overall: Scores of their runs. A lost run is worse than any that finished; one that was not started is left out.

    Returns:
        A row for each pair, not both ways. The interval is not a number with fewer than two runs of either. It depends
        neither on the order of the contestants nor on that of the seeds.
    """
    scores = [_runs(overall, position) for position in range(len(contestants))]
    draws = [_draws(name, len(runs)) for name, runs in zip(contestants, scores, strict=True)]
    rows = []
    for i, j in combinations(range(len(contestants)), 2):
        wins = (scores[i][:, None] > scores[j]) + 0.5 * (scores[i][:, None] == scores[j])
        if not wins.size:
            continue
        low, high = np.nan, np.nan
        if min(wins.shape) > 1:
            again = ((draws[i] @ wins) * draws[j]).sum(axis=1)
            low, high = np.quantile(again, [ALPHA / 2, 1 - ALPHA / 2])
        rows.append((contestants[i], contestants[j], wins.mean(), low, high))
    return pd.DataFrame(rows, columns=COLUMNS)


def _runs(overall: Overall, position: int) -> Array:
    """Scores of the runs that were made, in ascending order: with ties the draws would depend on the seeds' order."""
    values = np.where(overall.lost[position], -np.inf, overall.values[position])
    return np.sort(values[~np.isnan(values)])


def _draws(name: str, num_runs: int) -> Array:
    """Shares of the runs in each resample, [R, n]: the same for a name wherever it stands."""
    generator = np.random.default_rng([zlib.crc32(name.encode()), num_runs])
    if not num_runs:
        return np.zeros((RESAMPLES, 0))
    return generator.multinomial(num_runs, np.full(num_runs, 1 / num_runs), size=RESAMPLES) / num_runs
