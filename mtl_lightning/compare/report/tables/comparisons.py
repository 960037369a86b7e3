"""Who is better than whom: paired tests, and the probability that a run of one beats a run of the other."""

from math import isfinite

import pandas as pd

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.report.numbers import MISSING, number, places, probability, span
from mtl_lightning.compare.report.tables.table import Cell, Column, Table
from mtl_lightning.compare.statistics.summary import Summary

LONG = 12
"""Rows from which on a table of tests is folded."""
TONES = {"better": "better", "worse": "worse"}
FAMILIES = {
    "reference": "Paired tests against the reference",
    "tasks": "Paired tests against the reference, by task",
    "pairs": "Paired tests of each pair",
}

CONSTANT = {"reference": ("second", "metric"), "tasks": ("second",), "pairs": ("metric",)}
"""Columns that say the same in every row of a family."""
COLUMNS = [
    Column("first", "The contestant whose score counts positive.", numeric=False),
    Column("second", "The contestant that is subtracted.", numeric=False),
    Column("metric", "The task and its main metric, which is compared.", numeric=False),
    Column("difference", "First minus second, mean over the seeds; positive is better for the first.", True, True),
    Column("95 % interval", "Confidence interval of the difference, paired by seed; not corrected.", True, True),
    Column("p", "Probability of so large a difference if there were none; not corrected."),
    Column("corrected p", "The same, corrected for the number of tests in this table."),
    Column("effect size", "Standardised difference; its 95 % interval is in the tooltip.", True, True),
    Column("seeds", "How many seeds both contestants finished.", True, True),
    Column("verdict", "Better or worse only where the corrected p is below 0.05.", numeric=False),
]


def paired_tests(summary: Summary) -> list[Table]:
    """Differences between contestants with the same seeds, a table for each family of tests."""
    return [_family(summary, family, title) for family, title in FAMILIES.items()]


def _family(summary: Summary, family: str, title: str) -> Table:
    tests = summary.tests[summary.tests["family"] == family]
    parts = tests.groupby(["task", "metric"])
    digits = {key: places((part.high - part.low) / 2, part.difference) for key, part in parts}
    filled = [_test(test, summary, digits[test.task, test.metric]) for _, test in tests.iterrows()]
    kept = [at for at, column in enumerate(COLUMNS) if column.title not in CONSTANT[family]]
    rows = [[cells[at] for at in kept] for cells in filled]
    by = "each task's main metric" if family == "tasks" else summary.overall
    note = f"Paired by seed; compared by {by}. Better or worse only where the corrected p is below 0.05."
    return Table(f"tests-{family}", title, [COLUMNS[at] for at in kept], rows, note, folded=len(rows) > LONG)


def _test(test: pd.Series, summary: Summary, digits: int) -> list[Cell]:
    interval = span(test.low, test.high, digits, signed=True) if isfinite(test.low) else MISSING
    effect = f"95 % interval {span(test.effect_low, test.effect_high, 2, signed=True)}" if isfinite(test.effect) else ""
    return [
        *(Cell(text, text) for text in (test["first"], test.second, f"{test.task}: {test.metric}")),
        Cell(number(test.difference, digits, signed=True), float(test.difference)),
        Cell(interval, float(test.low)),
        *(Cell(probability(value), float(value)) for value in (test.p, test.p_corrected)),
        Cell(number(test.effect, 2, signed=True), float(test.effect), effect),
        Cell(str(int(test.num_seeds)), float(test.num_seeds)),
        Cell(test.verdict, test.verdict, tone=TONES.get(test.verdict, "")),
    ]


def improvement(evidence: Evidence, summary: Summary) -> Table:
    """A matrix: how probable it is that a run of the row's contestant is better than one of the column's."""
    found = {}
    for row in summary.improvement.itertuples():
        found[row.first, row.second] = (row.probability, row.low, row.high)
        found.setdefault((row.second, row.first), (1 - row.probability, 1 - row.high, 1 - row.low))
    names = [name for name in evidence.contestants if any(name in pair for pair in found)]
    columns = [Column("contestant", "Row against column.", numeric=False)]
    columns += [Column(name, f"Probability that a run of the row beats one of {name}.", True, True) for name in names]
    rows = [[Cell(name, name), *(_chance(found.get((name, other))) for other in names)] for name in names]
    note = f"Probability that a run of the row's contestant is better than one of the column's, by {summary.overall}."
    return Table("improvement", "Probability of improvement", columns, rows, note)


def _chance(found: tuple[float, float, float] | None) -> Cell:
    if found is None or not isfinite(found[0]):
        return Cell(MISSING)
    tip = f"95 % bootstrap interval {span(found[1], found[2], 2)}"
    return Cell(number(found[0], 2), float(found[0]), tip, heat=2 * float(found[0]) - 1)
