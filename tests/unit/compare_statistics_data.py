"""Evidence from arrays of scores, for the tests of the statistics."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from mtl_lightning.compare.evidence import Evidence

COLUMNS = {
    "pairs": "first second seed task metric value",
    "curves": "contestant seed step epoch name value",
    "costs": "contestant seed seconds_per_step peak_memory backward_passes steps solver_seconds skipped_steps",
    "cosines": "contestant seed first second cosine conflicting steps",
    "runs": "contestant seed role status message folder seconds",
    "trials": "contestant number value settings status",
}
TWO_TASKS = [("intent", "accuracy", True), ("intent", "loss", False), ("slots", "error", False)]


def table(kind: str, rows: Sequence[tuple[Any, ...]] = ()) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS[kind].split())


def run(contestant: str, seed: int, status: str, role: str = "compare") -> tuple[Any, ...]:
    return (contestant, seed, role, status, "", f"runs/{contestant}-{seed}", 1.0)


def evidence_of(
    values: np.ndarray, metrics: Sequence[tuple[str, str, bool]], contestants: Sequence[str], **fields: Any
) -> Evidence:
    """Evidence of scores [contestants, seeds, metrics]; a run whose scores are all NaN is missing.

    The first metric of a task is its main one. ``fields`` replace those of the evidence.
    """
    tasks = [task for task, _, _ in metrics]
    frame = pd.DataFrame(metrics, columns=["task", "metric", "higher_is_better"])
    frame["main"] = [tasks.index(task) == position for position, task in enumerate(tasks)]
    scores, runs = [], []
    for (c, name), seed in product(enumerate(contestants), range(values.shape[1])):
        there = not np.isnan(values[c, seed]).all()
        runs.append(run(name, seed, "finished" if there else "missing"))
        if there:
            scores += [(name, seed, *metric[:2], values[c, seed, m]) for m, metric in enumerate(metrics)]
    columns = ["contestant", "seed", "task", "metric", "value"]
    kept: dict[str, Any] = {
        "name": "test",
        "split": "test",
        "contestants": list(contestants),
        "reference": contestants[0],
        "seeds": list(range(values.shape[1])),
        "metrics": frame,
        "scores": pd.DataFrame(scores, columns=columns),
        "runs": table("runs", runs),
    }
    kept |= {kind: table(kind) for kind in COLUMNS if kind != "runs"}
    return Evidence(**(kept | fields))
