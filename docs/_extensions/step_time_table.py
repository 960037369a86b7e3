"""The table of what ``python -m experiments.step_time`` recorded."""

import json
from collections.abc import Iterator
from pathlib import Path

import generated
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

RESULTS = Path(__file__).parents[2] / "experiments" / "step_time" / "results.json"
GENERATED = Path("concepts", "generated")
COMMAND = "python -m experiments.step_time --record experiments/step_time/results.json"


def table() -> str:
    """Markdown."""
    if not RESULTS.exists():
        return f"Nothing is recorded yet; `{COMMAND}` does.\n"
    document = json.loads(RESULTS.read_text("utf-8"))
    when = f"Measured on {document['date']}, {document['machine']}, in seconds of the {document['seconds']}:"
    return "\n".join([when, "", f"    {document['command']}", "", *_lines(document["rows"]), ""])


def _lines(rows: list[dict[str, float | str]]) -> Iterator[str]:
    yield "| processes | step | computing, ms | predicted, ms | measured, ms | predicted ÷ measured |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        times = " | ".join(f"{1000 * float(row[key]):.0f}" for key in ("computing", "predicted", "measured"))
        yield f"| {row['processes']} | {row['step']} | {times} | {row['ratio']:.2f} |"


def _write(app: Sphinx) -> None:
    generated.write(app.srcdir / GENERATED, {"step_time.inc": table()})


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.connect("builder-inited", _write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
