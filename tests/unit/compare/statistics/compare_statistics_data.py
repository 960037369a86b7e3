"""Evidence from arrays of scores, for the tests of the statistics."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from mtl_lightning.compare.evidence import SINGLE_TASK, Evidence

NAN = float("nan")
METRICS = [
    ("intent", "accuracy", True),
    ("intent", "loss", False),
    ("slots", "error", False),
    ("domain", "loss", False),
]
NAMES = ["equal", "upgrad", "pcgrad", SINGLE_TASK]
COLUMNS = {
    "pairs": "first second seed task metric value",
    "curves": "contestant seed step epoch name value",
    "costs": "contestant seed seconds_per_step peak_memory backward_passes steps solver_seconds skipped_steps",
    "cosines": "contestant seed first second cosine conflicting steps",
    "runs": "contestant seed role status message folder seconds",
    "trials": "contestant number value settings status",
}


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
        "reference": contestants[0] if contestants else "equal",
        "seeds": list(range(values.shape[1])),
        "metrics": frame,
        "scores": pd.DataFrame(scores, columns=columns),
        "runs": table("runs", runs),
    }
    kept |= {kind: table(kind) for kind in COLUMNS if kind != "runs"}
    return Evidence(**(kept | fields))


def drawn(num: int = 4, num_seeds: int = 5, num_metrics: int = 4) -> np.ndarray:
    return np.random.default_rng(num).uniform(0.2, 0.9, size=(num, num_seeds, num_metrics))


def without(*runs: tuple[int, int]) -> np.ndarray:
    values = drawn()
    for contestant, seed in runs:
        values[contestant, seed] = NAN
    return values


def holed(*places: tuple[int, ...]) -> np.ndarray:
    values = drawn()
    for place in places:
        values[place] = NAN
    return values


def only(names: list[str], num_seeds: int = 5, **fields: Any) -> Evidence:
    return evidence_of(drawn(len(names), num_seeds), METRICS, names, **fields)


EVIDENCE = {
    "full": evidence_of(drawn(), METRICS, NAMES),
    "one seed": only(NAMES, 1),
    "two seeds": only(NAMES, 2),
    "one contestant": only(["equal"]),
    "single task alone": only([SINGLE_TASK], reference="equal"),
    "no baseline": only(NAMES[:3]),
    "missing seeds": evidence_of(without((0, 0), (1, 3), (3, 4)), METRICS, NAMES),
    "a contestant without runs": evidence_of(without(*((1, seed) for seed in range(5))), METRICS, NAMES),
    "the reference without runs": evidence_of(without(*((0, seed) for seed in range(5))), METRICS, NAMES),
    "no baseline finished": evidence_of(without(*((3, seed) for seed in range(5))), METRICS, NAMES),
    "nothing finished": evidence_of(np.full((4, 5, 4), NAN), METRICS, NAMES),
    "no seeds": evidence_of(np.empty((4, 0, 4)), METRICS, NAMES),
    "no contestants": evidence_of(np.empty((0, 5, 4)), METRICS, []),
    "one task": evidence_of(drawn(num_metrics=1), METRICS[:1], NAMES),
    "a metric that is not a number": evidence_of(holed((slice(None), slice(None), 2)), METRICS, NAMES),
    "scores that are not numbers": evidence_of(holed((1, 2, 0), (3, 1, 2), (0, slice(None), 3)), METRICS, NAMES),
    "infinite scores": evidence_of(np.where(drawn() > 0.8, np.inf, drawn()), METRICS, NAMES),
    "a baseline of zero": evidence_of(drawn() * [[[1]], [[1]], [[1]], [[0]]], METRICS, NAMES),
    "all the same": evidence_of(np.full((4, 5, 4), 0.5), METRICS, NAMES),
    "a seed not yet run": evidence_of(drawn(), METRICS, NAMES, seeds=[0, 1, 2, 3, 4, 99]),
}
