"""All statistics of a comparison."""

import numpy as np
import pandas as pd

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.planning.names import is_single_task
from mtl_lightning.compare.statistics.affinity import affinity, grouping
from mtl_lightning.compare.statistics.comparisons import comparisons
from mtl_lightning.compare.statistics.costs import conflicts, costs
from mtl_lightning.compare.statistics.critical_difference import critical_difference, friedman_p, joined
from mtl_lightning.compare.statistics.delta_m import DeltaM, delta_m
from mtl_lightning.compare.statistics.fronts import fronts_table
from mtl_lightning.compare.statistics.improvement import improvement
from mtl_lightning.compare.statistics.notes import notes
from mtl_lightning.compare.statistics.overall import overall_score
from mtl_lightning.compare.statistics.ranks import Ranks, rank
from mtl_lightning.compare.statistics.score_table import Array, ScoreTable, score_table
from mtl_lightning.compare.statistics.summary import Summary
from mtl_lightning.intervals import t_interval


def summarise(evidence: Evidence) -> Summary:
    """What the evidence shows: means, Δm, ranks, tests, costs, affinities, and what a reader must know of them.

    It needs nothing complete: what cannot be said is not a number or an empty table, and a note says why. The same
    evidence in another order gives the same numbers, bit for bit.

    Raises:
        UserError: If a score stands twice in the evidence.
    """
    table = score_table(evidence)
    deltas, ranks = delta_m(table), rank(table)
    overall = overall_score(table, deltas, evidence.delta_m)
    tests = comparisons(table, overall, evidence.reference)
    matrix, source = affinity(evidence)
    pool = [table.contestants[position] for position in ranks.pool]
    complete = ranks.by_seed[:, ~np.isnan(ranks.by_seed).any(axis=0)]
    difference = critical_difference(*complete.shape)
    return Summary(
        scores=_score_means(table),
        deltas=_deltas(table, deltas),
        delta_m=_delta_means(table, deltas),
        ranks=_rank_means(pool, ranks),
        pool=pool,
        convention=evidence.delta_m,
        overall=overall.name,
        tests=tests,
        improvement=improvement(table.contestants, overall),
        costs=costs(evidence),
        conflicts=conflicts(evidence),
        groups=joined(pool, complete.mean(axis=1), difference) if not np.isnan(difference) else [],
        critical_difference=difference,
        friedman_p=friedman_p(complete),
        affinity=matrix,
        affinity_source=source,
        grouping=grouping(matrix),
        fronts=fronts_table(table, evidence.fronts),
        notes=notes(evidence, table, deltas, overall, ranks, tests, source),
    )


def _with_intervals(rows: pd.DataFrame, values: Array, overlap: float) -> pd.DataFrame:
    mean, low, high, num = t_interval(values, overlap=overlap)
    return rows.assign(mean=mean, low=low, high=high, num_seeds=num)


def _score_means(table: ScoreTable) -> pd.DataFrame:
    rows = [
        (name, task, metric)
        for name in table.contestants
        for task, metric in zip(table.tasks, table.metrics, strict=True)
    ]
    values = table.values.transpose(0, 2, 1).reshape(len(rows), len(table.seeds))
    return _with_intervals(pd.DataFrame(rows, columns=["contestant", "task", "metric"]), values, table.overlap)


def _deltas(table: ScoreTable, deltas: DeltaM) -> pd.DataFrame:
    rows = [
        (table.contestants[c], seed, convention, float(values[c, s]))
        for convention, values in deltas.values.items()
        for c in table.others
        for s, seed in enumerate(table.seeds)
        if np.isfinite(values[c, s])
    ]
    return pd.DataFrame(rows, columns=["contestant", "seed", "convention", "value"])


def _delta_means(table: ScoreTable, deltas: DeltaM) -> pd.DataFrame:
    known = any(map(is_single_task, table.contestants)) and deltas.used.any()
    rows = [(table.contestants[c], convention) for convention in deltas.values for c in table.others if known]
    values = np.concatenate([values[table.others] for values in deltas.values.values()])[: len(rows)]
    return _with_intervals(pd.DataFrame(rows, columns=["contestant", "convention"]), values, table.overlap)


def _rank_means(pool: list[str], ranks: Ranks) -> pd.DataFrame:
    mean, low, high, num = t_interval(ranks.by_seed)
    columns = {"contestant": pool, "mean_rank": mean, "low": low, "high": high, "num_seeds": num}
    return pd.DataFrame({**columns, "rank_of_means": ranks.of_means})
