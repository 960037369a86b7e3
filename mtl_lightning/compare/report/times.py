"""Which time of a step a report shows."""

import pandas as pd

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.statistics.summary import Summary

WALL, PROCESSOR = "seconds_per_step", "cpu_seconds_per_step"
TITLES = {WALL: "time per step", PROCESSOR: "processor time per step"}


def time_measure(evidence: Evidence) -> str:
    """The processor's time where all runs that were timed know it, since other work on the machine does not enter it.

    Of runs on a GPU it is the time on the wall.
    """
    known = evidence.costs.reindex(columns=[WALL, PROCESSOR]).astype(float)
    timed = known[known[WALL].notna()]
    return PROCESSOR if len(timed) and timed[PROCESSOR].notna().all() else WALL


def times(evidence: Evidence, summary: Summary) -> pd.DataFrame:
    """``mean, low, high, relative, relative_low, relative_high`` of that time by contestant."""
    part = summary.costs[summary.costs["measure"] == time_measure(evidence)]
    return part.drop(columns="measure").set_index("contestant")
