"""Every metric of every task."""

import pandas as pd

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.report.numbers import MISSING, places, span, with_interval
from mtl_lightning.compare.report.tables.table import Cell, Column, Table
from mtl_lightning.compare.statistics.summary import Summary


def all_metrics(evidence: Evidence, summary: Summary) -> Table:
    """A row for each contestant, a column for each metric of each task; main metrics are starred."""
    columns = [Column("contestant", "What was compared.", numeric=False)]
    rows = {name: [Cell(name, name)] for name in evidence.contestants}
    for _, metric in evidence.metrics.iterrows():
        column, cells = metric_column(evidence, summary, metric)
        columns.append(column)
        for name in rows:
            rows[name].append(cells.get(name, Cell(MISSING)))
    return Table("metrics", "All metrics", columns, list(rows.values()), note="* is a task's main metric.")


def metric_column(evidence: Evidence, summary: Summary, metric: pd.Series) -> tuple[Column, dict[str, Cell]]:
    """One metric of one task, for each contestant.

    Args:
        evidence: Names the contestants and the split.
        summary: Holds the means.
        metric: A row of the evidence's metrics.
    """
    better = "higher" if metric.higher_is_better else "lower"
    title = f"{metric.task}: {metric.metric}{' *' if metric.main else ''}"
    definition = (
        f"{metric.metric} of the task {metric.task} on the {evidence.split} split ({better} is better): mean over "
        "seeds ± half of the 95 % confidence interval (Student's t)."
    )
    chosen = (summary.scores["task"] == metric.task) & (summary.scores["metric"] == metric.metric)
    part = summary.scores[chosen].set_index("contestant")
    digits = places((part["high"] - part["low"]) / 2, part["mean"])
    cells = {name: _cell(row, digits) for name, row in part.iterrows()}
    return Column(title, definition, high_first=bool(metric.higher_is_better)), cells


def _cell(row: pd.Series, digits: int) -> Cell:
    count = int(row.num_seeds)
    tip = (
        f"95 % interval {span(row.low, row.high, digits)} from {count} seeds" if count > 1 else "one seed: no interval"
    )
    return Cell(with_interval(row["mean"], row.low, row.high, digits), float(row["mean"]), tip)
