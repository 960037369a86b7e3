"""The main table: a row a contestant, what it reached and what it costs."""

from math import isfinite

import pandas as pd

from mtl_lightning.compare.evidence import UNFINISHED, Evidence
from mtl_lightning.compare.planning.names import is_single_task
from mtl_lightning.compare.report.numbers import (
    MISSING,
    TIMES,
    amount,
    number,
    places,
    probability,
    span,
    with_interval,
)
from mtl_lightning.compare.report.quality import quality
from mtl_lightning.compare.report.tables.comparisons import TONES
from mtl_lightning.compare.report.tables.metrics import metric_column
from mtl_lightning.compare.report.tables.table import Cell, Column, Table
from mtl_lightning.compare.report.times import PROCESSOR, TITLES, WALL, time_measure
from mtl_lightning.compare.statistics.summary import Summary

BEST = 2
"""Position of the column that puts the best contestant first."""
Filled = tuple[Column, dict[str, Cell]]

MEANS = {
    "main": "mean over the tasks' main metrics",
    "tasks": "mean over tasks of the mean over a task's metrics",
    "metrics": "mean over all metrics of all tasks",
}
COSTS = {
    WALL: (TITLES[WALL], "Seconds per optimizer step (median over the steps of a run)", "s"),
    PROCESSOR: (
        TITLES[PROCESSOR],
        "Seconds of the processor per optimizer step (median over the steps of a run), into which other work on the "
        "machine does not enter",
        "s",
    ),
    "peak_memory": ("memory", "The most memory that an optimizer step holds", "B"),
    "backward_passes": (
        "backward passes",
        "Backward passes through the encoder per optimizer step, each through one batch of one data set",
        "",
    ),
}


def overview(evidence: Evidence, summary: Summary) -> Table:
    """The main table, best contestant first."""
    filled: list[Filled] = [_verdict(evidence, summary)]
    filled += [_delta(evidence, summary)] if len(summary.delta_m) else []
    filled += [_difference(evidence, summary)] if not len(summary.delta_m) else []
    filled += [_rank(summary)]
    main = evidence.metrics[evidence.metrics["main"].astype(bool)]
    filled += [metric_column(evidence, summary, metric) for _, metric in main.iterrows()]
    other = WALL if time_measure(evidence) == PROCESSOR else PROCESSOR
    filled += [_cost(evidence, summary, measure) for measure in COSTS if measure != other]
    filled += [*_conflicts(evidence, summary), _runs(evidence, summary)]
    columns = [Column("contestant", "What was compared.", numeric=False), *(column for column, _ in filled)]
    rows = [
        [Cell(name, name), *(cells.get(name, Cell(MISSING)) for _, cells in filled)] for name in evidence.contestants
    ]
    rows.sort(key=lambda row: -float(row[BEST].sort_key or "-inf"))
    return Table("overview", "Contestants", columns, rows, sorted_by=BEST)


def _verdict(evidence: Evidence, summary: Summary) -> Filled:
    definition = (
        f"Paired test across seeds of {summary.overall} against {evidence.reference}, corrected for the number of "
        "contestants: better or worse where the corrected p is below 0.05."
    )
    tests = summary.tests[summary.tests["family"] == "reference"]
    cells = {}
    for _, test in tests.iterrows():
        tip = f"corrected p: {probability(test.p_corrected)}"
        cells[test["first"]] = Cell(test.verdict, test.verdict, tip, TONES.get(test.verdict, ""))
    cells[evidence.reference] = Cell("reference", "reference")
    return Column(f"against {evidence.reference}", definition, numeric=False), cells


def _delta(evidence: Evidence, summary: Summary) -> Filled:
    definition = (
        "Δm: mean relative gain over the single-task baseline of the same seed and architecture, in per cent "
        f"({MEANS[summary.convention]}); higher is better. ± half of the 95 % confidence interval over seeds."
    )
    part = summary.delta_m[summary.delta_m["convention"] == summary.convention]
    cells = _means(part, "mean", signed=True)
    for name in filter(is_single_task, evidence.contestants):
        cells.setdefault(name, Cell("0", 0.0, "The baseline itself."))
    return Column("Δm %", definition, high_first=True), cells


def _difference(evidence: Evidence, summary: Summary) -> Filled:
    definition = f"{summary.overall}: difference to {evidence.reference}, paired by seed, ± half of its 95 % interval."
    part = quality(evidence, summary).reset_index()
    return Column("difference", definition, high_first=True), _means(part, "mean", signed=True)


def _rank(summary: Summary) -> Filled:
    definition = (
        "Mean rank over seeds (1 is best) ± half of the 95 % interval. Ranks are taken over: "
        f"{', '.join(summary.pool)}. A rank depends on who else takes part."
    )
    return Column("mean rank", definition), _means(summary.ranks, "mean_rank", signed=False)


def _means(part: pd.DataFrame, mean: str, signed: bool) -> dict[str, Cell]:
    digits = places((part["high"] - part["low"]) / 2, part[mean])
    cells = {}
    for _, row in part.iterrows():
        text = with_interval(row[mean], row.low, row.high, digits, signed)
        tip = f"95 % interval {span(row.low, row.high, digits, signed)}" if isfinite(row.low) else "no interval"
        cells[row.contestant] = Cell(text, float(row[mean]), tip)
    return cells


def _cost(evidence: Evidence, summary: Summary, measure: str) -> Filled:
    title, what, unit = COSTS[measure]
    definition = (
        f"{what}, relative to that of {evidence.reference} with the same seed: mean over seeds ± half of the 95 % "
        "interval; the absolute mean is in each cell's tooltip."
    )
    if measure == WALL and (at_a_time := evidence.facts.get("runs at a time")):
        definition += f" The machine's load enters (runs at a time: {at_a_time})."
    part = summary.costs[summary.costs["measure"] == measure]
    cells = {}
    for _, row in part.iterrows():
        shown = [amount(value, unit) if unit else number(value, 2) for value in (row["mean"], row.low, row.high)]
        tip = f"{shown[0]} [{shown[1]}, {shown[2]}]" if isfinite(row["mean"]) else "not known"
        low, high = row.relative_low, row.relative_high
        # An interval without width (the reference itself, or something that is counted) says nothing.
        known = number((high - low) / 2, 2) not in (MISSING, "0.00")
        ratio = with_interval(row.relative, low, high, 2) if known else number(row.relative, 2)
        text = f"{TIMES} {ratio}" if isfinite(row.relative) else MISSING
        cells[row.contestant] = Cell(text, float(row.relative), tip)
    return Column(title, definition), cells


def _conflicts(evidence: Evidence, summary: Summary) -> list[Filled]:
    cosine, share = {}, {}
    by_run = evidence.cosines.groupby(["contestant", "seed"])["steps"].max().groupby("contestant")
    steps, runs = by_run.sum().to_dict(), by_run.size().to_dict()
    for _, row in summary.conflicts.iterrows():
        name = row.contestant
        tip = f"seen in {steps[name]} steps of {runs[name]} runs" if name in steps else ""
        cosine[name] = Cell(number(row.cosine, 2, signed=True), float(row.cosine), tip)
        text = f"{number(100 * row.conflicting, 0)} %" if isfinite(row.conflicting) else MISSING
        share[name] = Cell(text, float(row.conflicting), tip)
    about = "between the gradients of two tasks, mean over pairs of tasks, steps and seeds"
    return [
        (Column("cosine", f"Cosine {about}; below 0 they conflict.", high_first=True), cosine),
        (Column("conflicting", "Share of steps and pairs of tasks whose gradients have a negative cosine."), share),
    ]


def _runs(evidence: Evidence, summary: Summary) -> Filled:
    definition = "Runs that finished, of those planned; and those that diverged, failed, or ran out of time."
    runs = evidence.runs[evidence.runs["role"] == "compare"]
    skipped = summary.conflicts.set_index("contestant")["skipped_steps"].to_dict()
    cells = {}
    for name, part in runs.groupby("contestant", sort=False):
        counts = part["status"].value_counts()
        broken = [f"{counts[status]} {status}" for status in UNFINISHED if status in counts]
        text = ", ".join([f"{counts.get('finished', 0)} of {len(part)}", *broken])
        tip = f"skipped steps (not finite), of all its runs: {number(skipped.get(name, float('nan')), 0)}"
        cells[name] = Cell(text, float(counts.get("finished", 0)), tip, "worse" if broken else "")
    return Column("runs", definition, high_first=True), cells
