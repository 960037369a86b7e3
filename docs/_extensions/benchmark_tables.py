"""Tables of what ``python -m experiments.benchmark`` recorded, a table a workload."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import generated
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from experiments.benchmark.rows import Row

RESULTS = Path(__file__).parents[2] / "experiments" / "benchmark" / "results.json"
GENERATED = Path("generated")
COMMAND = "python -m experiments.benchmark --record experiments/benchmark/results.json"


def tables() -> str:
    """Markdown."""
    if not RESULTS.exists():
        return f"Nothing is recorded yet; `{COMMAND}` does. The summary below is of an earlier run.\n"
    document = json.loads(RESULTS.read_text("utf-8"))
    lines = [f"Measured on {document['date']}, {document['machine']}:", "", f"    {document['command']}", ""]
    for workload, rows in groupby(document["rows"], lambda row: row["workload"]):
        lines += [f"### {workload[0].upper()}{workload[1:]}", "", *_table(list(rows)), ""]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> Iterator[str]:
    shown = [(name, cell) for name, cell in _COLUMNS.items() if any(map(cell, rows))]
    yield f"| | {' | '.join(name for name, _ in shown)} |"
    yield f"|---|{'---|' * len(shown)}"
    for row in rows:
        yield f"| {row['contestant']} | {' | '.join(cell(row) for _, cell in shown)} |"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.1g}"


def _error(row: Row) -> str:
    return "" if row["cosine"] is None else f"{1 - row['cosine']:.0e}"


_COLUMNS: dict[str, Callable[[Row], str]] = {
    "tasks": lambda row: str(row["tasks"]),
    "time": lambda row: _ratio(row["time_ratio"]),
    "peak memory": lambda row: _ratio(row["memory_ratio"]),
    "bytes sent": lambda row: _ratio(row.get("sent_ratio")),
    "by the model": lambda row: _ratio(row.get("sent_model")),
    "1 - cosine to the optimum": _error,
}


def _write(app: Sphinx) -> None:
    generated.write(app.srcdir / GENERATED, {"benchmark.inc": tables()})


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.connect("builder-inited", _write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
