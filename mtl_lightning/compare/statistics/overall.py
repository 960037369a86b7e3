"""The one score of a run that contestants are compared by."""

from dataclasses import dataclass

import numpy as np

from mtl_lightning.compare.statistics.delta_m import CONVENTIONS, DeltaM
from mtl_lightning.compare.statistics.score_table import Array, Mask, ScoreTable


@dataclass(frozen=True)
class Overall:
    """A score for each run.

    Attributes:
        name: What it is, in words.
        values: [C, S], higher is better; not a number where there is none.
        lost: Runs that broke, or that finished without the metrics that the score is made of, [C, S].
    """

    name: str
    values: Array
    lost: Mask


def overall_score(table: ScoreTable, deltas: DeltaM, convention: str = "main") -> Overall:
    """Δm in a convention where at least half of the seeds have a baseline, otherwise the mean of the main metrics.

    The same for all seeds: the two have different units. Lower-is-better main metrics enter with a minus sign.
    """
    delta = deltas.values[convention]
    scored = table.finished[table.others].any(axis=0)
    compared = np.isfinite(delta).any(axis=0)
    if compared.any() and 2 * (compared & scored).sum() >= scored.sum():
        name, values = CONVENTIONS[convention], delta
    else:
        main = table.main & np.isfinite(table.values).any(axis=(0, 1))
        shape = table.values.shape[:2]
        oriented = table.values[:, :, main] * table.sign[main]
        name, values = "mean of the main metrics", oriented.mean(axis=2) if main.any() else np.full(shape, np.nan)
    judgeable = np.isfinite(values).any(axis=0)
    return Overall(name, values, (table.lost | table.finished) & ~np.isfinite(values) & judgeable)
