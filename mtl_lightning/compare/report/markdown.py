"""The report as Markdown: to read in a terminal, and on a page that renders it."""

import re
from unicodedata import east_asian_width

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.evidence.wording import worded
from mtl_lightning.compare.report.headline import headline
from mtl_lightning.compare.report.plots import Plot
from mtl_lightning.compare.report.tables import Cell, Table, details, overview
from mtl_lightning.compare.statistics.summary import Summary
from mtl_lightning.terminal import printable

MOST_ROWS = 40


def markdown(evidence: Evidence, summary: Summary, plots: list[Plot]) -> str:
    """The whole report; long tables are cut, and say so."""
    parts = [f"# {escape(evidence.name)}", escape(" ".join(headline(evidence, summary)))]
    parts += ["\n".join(f"- {escape(worded(note, evidence))}" for note in summary.notes)] if summary.notes else []
    parts += [_section(overview(evidence, summary)), "## Plots"]
    parts += [_plot(plot) for plot in plots]
    parts += [_section(table) for table in details(evidence, summary)]
    parts += [
        "## How it was run",
        "\n".join(f"- {escape(label)}: {escape(text)}" for label, text in evidence.facts.items()),
    ]
    parts += ["Every score is in [results.csv](results.csv) and [results.parquet](results.parquet)."]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    r"""Text as Markdown shows it unchanged, on one line, in a table too, and a terminal that shows the file.

    >>> escape("<b> a|b_c")
    '\\<b\\> a\\|b\\_c'
    """
    return re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", " ".join(printable(text).split()))


def _plot(plot: Plot) -> str:
    if not plot.files:
        return f"{plot.title}: left out. {escape(plot.caption)}"
    return f"### {plot.title}\n\n![{plot.title}](plots/{plot.name}.png)\n\n{escape(plot.caption)}"


def _section(table: Table) -> str:
    rows = table.rows[:MOST_ROWS]
    cut = (
        f"… and {len(table.rows) - MOST_ROWS} more rows in [report.html](report.html)."
        if len(table.rows) > MOST_ROWS
        else ""
    )
    return "\n\n".join(part for part in (f"## {table.title}", _grid(table, rows), cut, escape(table.note)) if part)


def _grid(table: Table, rows: list[list[Cell]]) -> str:
    texts = [[escape(column.title) for column in table.columns]]
    texts += [[escape(cell.text) for cell in row] for row in rows]
    widths = [max(3, *(_width(row[at]) for row in texts)) for at in range(len(table.columns))]
    rule = [
        f"{'-' * (width - 1)}{':' if column.numeric else '-'}"
        for width, column in zip(widths, table.columns, strict=True)
    ]
    lines = [texts[0], rule, *texts[1:]]
    return "\n".join(f"| {' | '.join(_padded(line, widths, table))} |" for line in lines)


def _padded(line: list[str], widths: list[int], table: Table) -> list[str]:
    blanks = [" " * (width - _width(text)) for text, width in zip(line, widths, strict=True)]
    return [b + t if c.numeric else t + b for t, b, c in zip(line, blanks, table.columns, strict=True)]


def _width(text: str) -> int:
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
