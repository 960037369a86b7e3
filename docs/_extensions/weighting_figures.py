"""What was measured of a weighting: by the benchmark, and by the experiments whose results are checked in."""

import csv
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mtl_lightning.compare.planning.catalogue import short_name

COMMAND = "python -m experiments.benchmark.weightings"
ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "docs" / "weightings" / "measured.json"
COMPARED = {
    "multimnist": "two overlapping digits, a LeNet, defaults, 5 seeds",
    "snips": "intent and slots from 1,500 sentences, 3 trials of a search, 5 seeds",
    "sentiment": "four domains of sentiment, 3 trials of a search, 5 seeds",
}
"""Experiments of which a report of ``compare`` is checked in."""

_TUNED = "tuned weights"


@cache
def measured() -> dict[str, Any]:
    """What ``python -m experiments.benchmark.weightings`` wrote, by weighting."""
    document: dict[str, Any] = json.loads(MEASURED.read_text("utf-8")) if MEASURED.exists() else {}
    return document


def cost(name: str) -> dict[str, Any] | None:
    """What the benchmark measured of a weighting; None: nothing yet."""
    found: dict[str, Any] | None = measured().get(name)
    return found


def toy(name: str) -> tuple[int, int] | None:
    """How many starts reach the front in ``experiments/toy``, and of how many."""
    reached = _toy().get(name.removesuffix("Weighting"))
    return None if reached is None else (sum(reached), len(reached))


@cache
def _toy() -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {}
    with (ROOT / "experiments" / "toy" / "all" / "results.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["method"], []).append(row["on_front"] == "1")
    return found


def compared(name: str) -> Iterator[tuple[str, str, str]]:
    """Experiment, Δm in % of the single-task baseline, and the verdict against equal weights."""
    contestant = _TUNED if name == "FixedWeighting" else short_name(name)
    for experiment in COMPARED:
        row = contestants(experiment).get(contestant)
        if row is not None:
            yield experiment, row["Δm % (tasks)"], row["against equal"]


@cache
def contestants(experiment: str) -> dict[str, dict[str, str]]:
    """The rows of the first table of an experiment's report, by contestant."""
    report = (ROOT / "experiments" / experiment / "results" / "report.md").read_text("utf-8")
    lines = [
        line for line in report.partition("## Contestants")[2].partition("\n## ")[0].splitlines() if line[:1] == "|"
    ]
    heading, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(heading, row, strict=True)) for row in rows}
