"""How good a front is: what it dominates, and how evenly its points are spread."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mtl_lightning.compare.planning.fronts import FIXED_WEIGHTS
from mtl_lightning.compare.statistics.score_table import Array, ScoreTable
from mtl_lightning.intervals import t_interval

MARGIN = 0.1
"""How far below the worst score the corner lies that volumes are measured from, in ranges of the scores."""


def fronts_table(table: ScoreTable, fronts: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Means over seeds of what fronts are, with 95 % confidence intervals.

    Scores are the tasks' main metrics, each scaled so that the worst run of the comparison is at 0 and the best one at
    1. ``hypervolume`` (Zitzler and Thiele 1999, "Multiobjective Evolutionary Algorithms: A Comparative Case Study") is
    the share that a front dominates of the box from -0.1 to 1 in each task, 1 if it has a run that is best in all;
    ``spacing`` (Schott 1995, "Fault Tolerant Design Using Single and Multicriteria Genetic Algorithm Optimization",
    equation 3.4) the standard deviation of the distances, in sums over tasks, from a point to the nearest other: 0
    where points that no other dominates are spread evenly; ``points`` is the number of these.

    Args:
        table: All scores.
        fronts: Names of the contestants of each.

    Returns:
        ``front, measure, mean, low, high, num_seeds, difference, difference_low, difference_high``: differences are
        from the front of fixed weights, seed by seed. Seeds in which a run of the front has not finished do not count.
    """
    rows, scaled = [], _scaled(table)
    of_fronts = {name: _by_seed(table, scaled, names) for name, names in fronts.items() if scaled.shape[2]}
    for name, measures in of_fronts.items():
        for measure, values in measures.items():
            mean, low, high, num = t_interval(values, overlap=table.overlap)
            apart = np.full(3, np.nan)
            if name != FIXED_WEIGHTS and FIXED_WEIGHTS in of_fronts:
                difference = values - of_fronts[FIXED_WEIGHTS][measure]
                apart = np.array(t_interval(difference, overlap=table.overlap)[:3], dtype=float)
            rows.append((name, measure, float(mean), float(low), float(high), int(num), *map(float, apart)))
    columns = "front measure mean low high num_seeds difference difference_low difference_high"
    return pd.DataFrame(rows, columns=columns.split())


def hypervolume(points: Array) -> float:
    """What points dominate of the positive orthant.

    Args:
        points: [N, K], higher is better.

    >>> float(hypervolume(np.array([[1.0, 2.0], [2.0, 1.0], [0.5, 0.5]])))
    3.0
    """
    points = points[(points > 0).all(axis=1)]
    if points.shape[0] == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    heights = np.unique(points[:, -1])
    slices = [hypervolume(points[points[:, -1] >= height, :-1]) for height in heights]
    return float(np.dot(np.diff(heights, prepend=0.0), slices))


def undominated(points: Array) -> Array:
    """The points [M, K] that no other point equals or beats in every coordinate and beats in one, each once."""
    points = np.unique(points, axis=0)
    at_least = (points[None] >= points[:, None]).all(axis=-1)
    found: Array = points[at_least.sum(axis=1) == 1]
    return found


def spacing(points: Array) -> float:
    """The standard deviation of distances to the nearest other point; not a number where there are fewer than two.

    >>> spacing(np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]))
    0.0
    """
    if len(points) < 2:
        return float("nan")
    distances = np.abs(points[None] - points[:, None]).sum(axis=-1)
    np.fill_diagonal(distances, np.inf)
    return float(distances.min(axis=1).std(ddof=1))


def _by_seed(table: ScoreTable, scaled: Array, names: Sequence[str]) -> dict[str, Array]:
    """Each measure of a front, by seed [S]."""
    points = scaled[[table.contestants.index(name) for name in names]].transpose(1, 0, 2)
    fronts = [undominated(each) if np.isfinite(each).all() else None for each in points]
    box = (1 + MARGIN) ** points.shape[2]
    measures = {
        "hypervolume": [None if front is None else hypervolume(front + MARGIN) / box for front in fronts],
        "spacing": [None if front is None else spacing(front) for front in fronts],
        "points": [None if front is None else len(front) for front in fronts],
    }
    return {name: np.array(values, dtype=float) for name, values in measures.items()}


def _scaled(table: ScoreTable) -> Array:
    """Main metrics [C, S, K] from 0, the worst of all runs, to 1, the best; higher is better."""
    used = table.main & table.judged
    scores = (table.values * table.sign)[:, :, used]
    of_all = scores[table.others]
    worst, best = np.nanmin(of_all, axis=(0, 1), initial=np.inf), np.nanmax(of_all, axis=(0, 1), initial=-np.inf)
    scaled: Array = (scores - worst) / np.where(best > worst, best - worst, 1.0)
    return scaled
