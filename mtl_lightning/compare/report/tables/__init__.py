"""The report's tables, the same for the page and for the terminal: what a cell says, how it sorts, what explains it."""

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.report.tables.affinity import affinity
from mtl_lightning.compare.report.tables.comparisons import improvement, paired_tests
from mtl_lightning.compare.report.tables.fronts import fronts
from mtl_lightning.compare.report.tables.metrics import all_metrics
from mtl_lightning.compare.report.tables.overview import overview as _overview
from mtl_lightning.compare.report.tables.runs import failures, search
from mtl_lightning.compare.report.tables.table import Cell, Column, Table
from mtl_lightning.compare.report.tables.worded import worded_table
from mtl_lightning.compare.statistics.summary import Summary

__all__ = ["Cell", "Column", "Table", "details", "overview"]


def overview(evidence: Evidence, summary: Summary) -> Table:
    """The main table: a row a contestant."""
    return worded_table(_overview(evidence, summary), evidence)


def details(evidence: Evidence, summary: Summary) -> list[Table]:
    """All tables but the main one, in the order of the report; those without a row are left out."""
    tables = [
        fronts(summary),
        all_metrics(evidence, summary),
        *paired_tests(summary),
        improvement(evidence, summary),
        search(evidence),
        affinity(summary),
        failures(evidence),
    ]
    return [worded_table(table, evidence) for table in tables if table.rows]
