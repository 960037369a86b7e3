"""Which tasks help each other."""

from math import isfinite

from mtl_lightning.compare.report.numbers import number, places
from mtl_lightning.compare.report.tables.table import Cell, Column, Table
from mtl_lightning.compare.statistics.summary import Summary

SOURCES = {
    "pairs": "relative gain in per cent of the row's task when it is trained beside the column's",
    "cosines": "mean cosine between the gradients of the two tasks",
}


def affinity(summary: Summary) -> Table:
    """How much training beside the column's task helps the row's."""
    matrix = summary.affinity
    what = SOURCES.get(summary.affinity_source, summary.affinity_source)
    columns = [Column("task", "That is helped or hindered.", numeric=False)]
    columns += [Column(str(task), f"Beside {task}: {what}.", True, True) for task in matrix.columns]
    values = [float(value) for value in matrix.to_numpy().ravel() if isfinite(value)]
    largest, digits = strongest(summary), places([], values)
    rows = [
        [Cell(str(task), str(task)), *(_cell(float(value), largest, digits) for value in matrix.loc[task])]
        for task in (matrix.index if values else [])
    ]
    groups = "; ".join(" + ".join(group) for group in summary.grouping)
    note = f"{what.capitalize()}.{f' Suggested grouping: {groups}.' if groups else ''}"
    return Table("affinity", "Affinity between tasks", columns, rows, note)


def strongest(summary: Summary) -> float:
    """The affinity that has the strongest colour: 1 for cosines; for gains the largest, but at least 5 per cent."""
    if summary.affinity_source == "cosines":
        return 1.0
    return max([5.0, *(abs(float(value)) for value in summary.affinity.to_numpy().ravel() if isfinite(value))])


def _cell(value: float, largest: float, digits: int) -> Cell:
    return Cell(number(value, digits, signed=True), value, heat=value / largest if isfinite(value) else None)
