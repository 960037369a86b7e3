"""What the contestants cost, and what happened to their gradients and runs."""

import numpy as np
import pandas as pd

from mtl_lightning.compare.evidence import BROKEN, MEASURES, Evidence
from mtl_lightning.intervals import t_interval


def costs(evidence: Evidence) -> pd.DataFrame:
    """Means over seeds of each cost, with intervals, and relative to the reference's cost of the same seed.

    ``relative`` is the mean over seeds of the ratio, with an interval like that of the mean; it is not a number where
    the reference's cost is unknown or zero.
    """
    names, seeds = evidence.contestants, sorted(evidence.seeds)
    runs = pd.MultiIndex.from_product([names, seeds])
    table = evidence.costs.set_index(["contestant", "seed"]).reindex(index=runs, columns=list(MEASURES))
    values = table.to_numpy(dtype=float).reshape(len(names), len(seeds), len(MEASURES))
    mean, low, high, _ = t_interval(values, axis=1)
    base = values[names.index(evidence.reference)] if evidence.reference in names else np.full(values.shape[1:], np.nan)
    relative, relative_low, relative_high, _ = t_interval(values / np.where(base == 0, np.nan, base), axis=1)
    index = pd.MultiIndex.from_product([names, MEASURES], names=["contestant", "measure"])
    columns = {"mean": mean, "low": low, "high": high}
    columns |= {"relative": relative, "relative_low": relative_low, "relative_high": relative_high}
    return pd.DataFrame({key: column.ravel() for key, column in columns.items()}, index=index).reset_index()


def conflicts(evidence: Evidence) -> pd.DataFrame:
    """Cosines between tasks' gradients, shares of conflicts, skipped steps and numbers of broken runs.

    Means over pairs and runs count every step the same; ``skipped_steps`` is the sum over seeds.
    """
    names = pd.Index(evidence.contestants, name="contestant")
    found = evidence.cosines.sort_values(["contestant", "seed", "first", "second"])
    by_name, cosines = found["contestant"], found[["cosine", "conflicting", "steps"]].astype(float)
    steps = cosines["steps"].where(cosines["cosine"].notna())
    weighted = cosines[["cosine", "conflicting"]].mul(steps, axis=0).groupby(by_name).sum(min_count=1)
    table = weighted.div(steps.groupby(by_name).sum(), axis=0).reindex(names)
    skipped = evidence.costs["skipped_steps"].astype(float).groupby(evidence.costs["contestant"]).sum(min_count=1)
    table["skipped_steps"] = skipped.reindex(names)
    runs = evidence.runs[evidence.runs["role"] == "compare"]
    for status in BROKEN:
        table[status] = (runs["status"] == status).groupby(runs["contestant"]).sum().reindex(names, fill_value=0)
    return table.reset_index()
