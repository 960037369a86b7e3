"""Which tasks help each other, and which should be trained together."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy

from mtl_lightning.compare.evidence import SINGLE_TASK, Evidence
from mtl_lightning.compare.statistics.delta_m import relative_gain

MOST_TASKS = 8
"""Up to which all groupings are tried."""


def affinity(evidence: Evidence) -> tuple[pd.DataFrame, str]:
    """How much training beside the column's task helps the row's.

    From runs on pairs of tasks, where there are some: the gain of the row's main metric over the single-task model of
    the same seed, in per cent, mean over seeds (Standley et al. 2020, "Which Tasks Should Be Learned Together in
    Multi-task Learning?", who predict larger groups from pairs; that is rough).

    Otherwise the mean cosine of the tasks' gradients in the reference's runs. It is symmetric, and a hint at most: it
    says whether the tasks pull the shared parameters the same way while all are trained, not whether one generalises
    better for it (in Fifty et al. 2021, "Efficiently Identifying Task Groupings for Multi-Task Learning", groupings
    by cosines fall behind).

    Returns:
        The matrix, and what it was taken from: ``pairs``, ``cosines`` or nothing.
    """
    for source, found in (("pairs", _from_pairs(evidence)), ("cosines", _from_cosines(evidence))):
        matrix = (
            found.dropna()
            .sort_values(["row", "column", "value"])
            .pivot_table(index="row", columns="column", values="value", aggfunc="mean")
        )
        if matrix.size:
            square = matrix.reindex(index=evidence.tasks, columns=evidence.tasks).astype(float)
            return square.rename_axis(index=None, columns=None), source
    return pd.DataFrame(np.nan, index=evidence.tasks, columns=evidence.tasks), ""


def _from_pairs(evidence: Evidence) -> pd.DataFrame:
    main = evidence.metrics[evidence.metrics["main"].astype(bool)]
    scores = evidence.scores
    alone = scores[scores["contestant"] == SINGLE_TASK].rename(columns={"value": "alone"}).drop(columns="contestant")
    joined = evidence.pairs.merge(main, on=["task", "metric"]).merge(alone, on=["seed", "task", "metric"])
    joined = joined[joined["alone"] != 0]
    sign = np.where(joined["higher_is_better"].astype(bool), 1.0, -1.0)
    gain = relative_gain(joined["value"].to_numpy(float), joined["alone"].to_numpy(float), sign)
    partner = joined["second"].where(joined["task"] == joined["first"], joined["first"])
    return pd.DataFrame({"row": joined["task"], "column": partner, "value": np.where(np.isfinite(gain), gain, np.nan)})


def _from_cosines(evidence: Evidence) -> pd.DataFrame:
    found = evidence.cosines[evidence.cosines["contestant"] == evidence.reference]
    one = found.rename(columns={"first": "row", "second": "column", "cosine": "value"})
    other = found.rename(columns={"second": "row", "first": "column", "cosine": "value"})
    both = pd.concat([one, other])[["row", "column", "value"]].astype({"value": float})
    return both[both["row"] != both["column"]]


def grouping(matrix: pd.DataFrame) -> list[list[str]]:
    """The partition of the tasks with the highest sum over tasks of the mean affinity to the rest of their group.

    So Fifty et al. 2021 score a grouping; there groups may overlap, here each task is in one. A task alone has affinity
    0, so tasks that do not help each other stay apart; so do tasks whose affinity is unknown. Up to
    :data:`MOST_TASKS` tasks the best of all partitions, above that the best cut of an average-linkage clustering.

    Returns:
        Groups in the order of the tasks, nothing if no affinity is known.

    >>> grouping(pd.DataFrame([[0, 2, -1], [1, 0, 0.5], [-1, -2, 0]], list("abc"), list("abc")))
    [['a', 'b'], ['c']]
    """
    known = matrix.to_numpy(dtype=float)
    if not np.isfinite(known).any():
        return []
    values = np.where(np.isfinite(known), known, -np.inf)
    np.fill_diagonal(values, 0.0)

    @lru_cache(None)
    def gain(group: tuple[int, ...]) -> float:
        return float(values[np.ix_(group, group)].sum()) / (len(group) - 1) if len(group) > 1 else 0.0

    every = tuple(range(len(matrix)))
    candidates = _partitions(every) if len(every) <= MOST_TASKS else _cuts(values)
    # Of equals the first, which comes before all that join its groups: no task joins another for nothing.
    best = max(candidates, key=lambda groups: round(sum(map(gain, groups)), 9))
    return [[matrix.index[task] for task in group] for group in sorted(best)]


def _partitions(items: tuple[int, ...]) -> Iterator[list[tuple[int, ...]]]:
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for size in range(len(items)):
        for others in combinations(rest, size):
            for groups in _partitions(tuple(item for item in rest if item not in others)):
                yield [(first, *others), *groups]


def _cuts(values: np.ndarray) -> Iterator[list[tuple[int, ...]]]:
    known = np.where(np.isfinite(values), values, values[np.isfinite(values)].min() - 1)
    symmetric = (known + known.T) / 2
    upper = np.triu_indices(len(values), 1)
    tree = hierarchy.linkage(symmetric.max() - symmetric[upper], method="average")
    for labels in hierarchy.cut_tree(tree).T:
        yield [tuple(int(task) for task in np.flatnonzero(labels == label)) for label in np.unique(labels)]
