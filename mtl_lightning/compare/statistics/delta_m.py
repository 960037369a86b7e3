"""Δm: by how much a model of all tasks is better than a model for each, in one number."""

from dataclasses import dataclass

import numpy as np

from mtl_lightning.compare.statistics.score_table import Array, Mask, ScoreTable

CONVENTIONS = {
    "main": "Δm (main metrics)",
    "tasks": "Δm (all metrics, by task)",
    "metrics": "Δm (all metrics)",
}
"""What Δm may be the mean of, and what each is called."""


@dataclass(frozen=True)
class DeltaM:
    """Δm of every run.

    Attributes:
        values: Convention → [C, S], in per cent, higher is better; not a number where the run or its baseline lacks one
            of the metrics.
        used: Which metrics it is made of, [M].
    """

    values: dict[str, Array]
    used: Mask


def relative_gain(values: Array, baseline: Array, sign: Array) -> Array:
    """Gain over a baseline in per cent of the baseline's absolute value, positive where better.

    The absolute value keeps the sign right for scores below zero, such as correlations.

    Args:
        values: Scores [..., M].
        baseline: Scores that broadcast against them.
        sign: 1 where higher is better, else -1, [M].
    """
    gain: Array = 100 * sign * (values - baseline) / np.abs(baseline)
    return gain


def metric_weights(tasks: list[str], main: Mask, used: Mask, convention: str) -> Array:
    """What each metric counts in Δm, [M]; sums to 1.

    ``main``: the mean over tasks of the gain in each task's main metric, the one by which checkpoints are chosen.
    ``tasks``: the mean over tasks of the mean over a task's metrics (Maninis et al. 2019, "Attentive Single-Tasking of
    Multiple Tasks", sec. 5, as Vandenhende et al. 2021, "Multi-Task Learning for Dense Prediction Tasks: A Survey",
    use it). ``metrics``: the mean over all metrics, so that a task with more of them counts more (the tables of
    Nash-MTL, Navon et al. 2022, sec. 6, and of FAMO, Liu et al. 2023, which print the negative of it, a drop).
    """
    used = used & main if convention == "main" else used
    counts = np.array([used[np.array(tasks) == task].sum() for task in tasks], dtype=float)
    weights = used / np.maximum(counts, 1) if convention == "tasks" else used.astype(float)
    return weights / max(float(weights.sum()), 1.0)


def delta_m(table: ScoreTable) -> DeltaM:
    """Δm in each convention, of every run against the single-task models of the same seed and architecture.

    Made of :attr:`ScoreTable.judged` metrics. One whose baseline is zero in any seed has no relative gain and is left
    out for all contestants and seeds, so that every value is made of the same metrics.
    """
    baseline = table.baseline
    used = table.judged & ~(baseline == 0).any(axis=(0, 1)) & np.isfinite(baseline).any(axis=(0, 1))
    gains = relative_gain(table.values[:, :, used], baseline[:, :, used], table.sign[used])
    weights = {name: metric_weights(table.tasks, table.main, used, name)[used] for name in CONVENTIONS}
    shape = table.values.shape[:2]
    if not used.any():
        return DeltaM(dict.fromkeys(CONVENTIONS, np.full(shape, np.nan)), used)
    # Not a matrix product: its rounding depends on where a contestant stands.
    values = {name: (gains[:, :, weight > 0] * weight[weight > 0]).sum(axis=2) for name, weight in weights.items()}
    empty = {name: np.full(shape, np.nan) for name, weight in weights.items() if not weight.any()}
    return DeltaM(values | empty, used)
