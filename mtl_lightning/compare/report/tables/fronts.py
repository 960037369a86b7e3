"""Fronts: what the preferences of each method reach together."""

import pandas as pd

from mtl_lightning.compare.planning.fronts import FIXED_WEIGHTS
from mtl_lightning.compare.report.numbers import MISSING, number, places, span, with_interval
from mtl_lightning.compare.report.tables.table import Cell, Column, Table
from mtl_lightning.compare.statistics.summary import Summary

_DEFINITIONS = {
    "hypervolume": (
        "Share of the box of all scores that the front dominates, in the tasks' main metrics: 0 is worst, 1 best. Mean "
        "over seeds ± half of the 95 % confidence interval (Student's t)."
    ),
    "spacing": "Standard deviation of the distances between neighbours: 0 where they are spread evenly. As before.",
    "points": "How many of the points no other point of the front equals or beats in every task. As before.",
}


def fronts(summary: Summary) -> Table:
    """A row a front."""
    columns = [
        Column(
            "front",
            "The weighting whose preferences were swept, or the one model that was asked for all of them.",
            numeric=False,
        )
    ]
    rows: dict[str, list[Cell]] = {name: [Cell(name, name)] for name in dict.fromkeys(summary.fronts.get("front", []))}
    for measure, definition in _DEFINITIONS.items() if rows else ():
        of = summary.fronts[summary.fronts["measure"] == measure].set_index("front")
        columns.append(Column(measure, definition, high_first=measure != "spacing"))
        digits = places((of["high"] - of["low"]) / 2, of["mean"])
        for name, row in of.iterrows():
            rows[str(name)].append(Cell(with_interval(row["mean"], row.low, row.high, digits), float(row["mean"])))
        if measure == "hypervolume":
            columns.append(
                Column(
                    f"beyond {FIXED_WEIGHTS}",
                    "Hypervolume minus that of fixed weights, seed by seed, with its 95 % confidence interval.",
                    high_first=True,
                )
            )
            for name, row in of.iterrows():
                rows[str(name)].append(_difference(row, digits))
    note = "Fixed weights are the reference: a method is worth its cost where its front is beyond theirs."
    return Table("fronts", "Fronts", columns, list(rows.values()), note=note)


def _difference(row: pd.Series, digits: int) -> Cell:
    if pd.isna(row.difference):
        return Cell(MISSING)
    shown = row.difference_low > 0 or row.difference_high < 0
    tone = ("better" if row.difference > 0 else "worse") if shown else ""
    text = number(row.difference, digits, signed=True)
    interval = span(row.difference_low, row.difference_high, digits, signed=True)
    return Cell(text if pd.isna(row.difference_low) else f"{text} {interval}", float(row.difference), tone=tone)
