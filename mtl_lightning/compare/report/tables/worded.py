"""Tables about seeds, where runs differ by folds."""

from dataclasses import replace

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.evidence.wording import worded
from mtl_lightning.compare.report.tables.table import Cell, Table


def worded_table(table: Table, evidence: Evidence) -> Table:
    """A table whose texts say what the runs of a contestant are; names and messages in it stay."""

    def cell(found: Cell) -> Cell:
        text = worded(found.text, evidence) if found.text == "too few seeds" else found.text
        return replace(found, text=text, tip=worded(found.tip, evidence))

    columns = [
        replace(column, title=worded(column.title, evidence), definition=worded(column.definition, evidence))
        for column in table.columns
    ]
    rows = [[cell(found) for found in row] for row in table.rows]
    return replace(table, columns=columns, rows=rows, note=worded(table.note, evidence))
