"""The rows that the benchmark writes and prints."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TypedDict

import torch
from rich.console import Console
from rich.table import Table


class Row(TypedDict):
    """A line of ``build/benchmark.json``.

    Ratios are to the first contestant of the workload. That of time is in processor seconds, on several processes, of
    waiting and of a plan in seconds of the wall, of padding in tokens. That of what is sent is in bytes, as counted and
    as the model of the step time says. What was not measured, or has no goal, is null.
    """

    workload: str
    contestant: str
    tasks: int
    time_ratio: float | None
    target: float | None
    memory_ratio: float | None
    memory_target: float | None
    cosine: float | None
    sent_ratio: float | None
    sent_model: float | None


def row(
    workload: str,
    contestant: str,
    tasks: int,
    time_ratio: float | None,
    target: float | None = None,
    memory_ratio: float | None = None,
    memory_target: float | None = None,
    cosine: float | None = None,
    sent_ratio: float | None = None,
    sent_model: float | None = None,
) -> Row:
    """A row, rounded."""
    return Row(
        workload=workload,
        contestant=contestant,
        tasks=tasks,
        time_ratio=_rounded(time_ratio),
        target=target,
        memory_ratio=_rounded(memory_ratio),
        memory_target=memory_target,
        cosine=cosine,
        sent_ratio=_rounded(sent_ratio),
        sent_model=_rounded(sent_model),
    )


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 3)


def write(rows: Sequence[Row], file: Path) -> None:
    """Writes the rows as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


def about(threads: int) -> dict[str, str]:
    """The day, and the machine."""
    machine = f"{os.cpu_count()} CPU cores ({platform.machine()}), {threads} thread, torch {torch.__version__}"
    return {"date": datetime.now(UTC).date().isoformat(), "machine": machine}


def record(rows: Sequence[Row], threads: int, command: str, file: Path) -> None:
    """Writes the rows with day, machine and command, for the documentation."""
    document = {**about(threads), "command": command, "rows": rows}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def print_tables(rows: Sequence[Row]) -> None:
    """Prints a table for each workload, in red what misses its goal."""
    console = Console()
    for workload, group in groupby(rows, lambda row: row["workload"]):
        table = Table(title=workload, title_justify="left")
        table.add_column("a step, relative to the first row's")
        for column in ("tasks", "time", "at most", "memory", "at most", "sent", "model"):
            table.add_column(column, justify="right")
        for found in group:
            time = _cells(found["time_ratio"], found["target"])
            memory = _cells(found["memory_ratio"], found["memory_target"])
            sent = _shown(found["sent_ratio"]), _shown(found["sent_model"])
            table.add_row(found["contestant"], str(found["tasks"]), *time, *memory, *sent)
        console.print(table)


def _cells(ratio: float | None, target: float | None) -> tuple[str, str]:
    missed = ratio is not None and target is not None and ratio > target
    shown = _shown(ratio)
    return f"[red]{shown}[/red]" if missed else shown, "" if target is None else f"{target:.2f}"


def _shown(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.{2 if ratio >= 0.1 else 3}f}"
