"""The one figure by which contestants are put in order."""

import pandas as pd

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.statistics.delta_m import CONVENTIONS
from mtl_lightning.compare.statistics.summary import Summary


def quality(evidence: Evidence, summary: Summary) -> pd.DataFrame:
    """Δm, or where there is no baseline the difference to the reference in what is compared.

    Returns:
        ``mean, low, high`` by contestant; higher is better. The reference's difference to itself is 0.
    """
    columns = ["mean", "low", "high"]
    if len(summary.delta_m):
        part = summary.delta_m[summary.delta_m["convention"] == summary.convention]
        return part.set_index("contestant")[columns].astype(float)
    tests = summary.tests[summary.tests["family"] == "reference"]
    part = tests.rename(columns={"first": "contestant", "difference": "mean"}).set_index("contestant")[columns]
    if not evidence.scores["contestant"].eq(evidence.reference).any():
        return part.astype(float)
    zero = pd.DataFrame({"mean": [0.0], "low": [float("nan")], "high": [float("nan")]}, index=[evidence.reference])
    return pd.concat([zero, part.astype(float)]).rename_axis("contestant")


def quality_name(evidence: Evidence, summary: Summary) -> str:
    """What :func:`quality` is, for an axis."""
    if len(summary.delta_m):
        return f"{CONVENTIONS[summary.convention]} in % of the single-task baseline"
    return f"{summary.overall}: difference to {evidence.reference}"
