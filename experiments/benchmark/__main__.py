"""Measures the package's training step against a bare PyTorch loop: ``python -m experiments.benchmark``."""

import argparse
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import torch
from rich.console import Console
from rich.table import Table

from experiments.benchmark.contestants import BARE_LOOP, WEIGHTINGS
from experiments.benchmark.measure import Clocks, Effort, peak_memory, time_ratios
from experiments.benchmark.workloads import ONE_DATA_SET, SEVERAL_DATA_SETS, Workload

PLAN: tuple[tuple[Workload, tuple[str, ...]], ...] = (
    (ONE_DATA_SET, ("EqualWeighting",)),
    (SEVERAL_DATA_SETS, tuple(WEIGHTINGS)),
)
FULL = Effort(rounds=15, steps=10, memory_steps=3)
QUICK = Effort(rounds=2, steps=1, memory_steps=1)


class Row(TypedDict):
    """A line of ``build/benchmark.json``; ratios are to the workload's bare loop, that of time in processor seconds."""

    workload: str
    contestant: str
    tasks: int
    time_ratio: float
    memory_ratio: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints a table and writes the rows."""
    options = _parser().parse_args(arguments)
    effort = QUICK if options.quick else FULL
    _silence()
    memory = {
        (workload.name, contestant): peak_memory(workload, contestant, effort, options.threads)
        for workload, contestants in PLAN
        for contestant in (BARE_LOOP, *contestants)
    }
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    walls: list[float] = []
    for workload, contestants in PLAN:
        for contestant in (BARE_LOOP, *contestants):
            times = Clocks(1.0, 1.0) if contestant == BARE_LOOP else time_ratios(workload, contestant, effort)
            memory_ratio = memory[workload.name, contestant] / memory[workload.name, BARE_LOOP]
            rows.append(_row(workload, contestant, times.cpu, memory_ratio))
            walls.append(times.wall)
    _print(rows, walls)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few steps: whether it runs, not how fast")
    parser.add_argument("--output", type=Path, default=Path("build/benchmark.json"), help="file for the rows")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default: 2)")
    return parser


def _silence() -> None:
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


def _row(workload: Workload, contestant: str, time_ratio: float, memory_ratio: float) -> Row:
    return Row(
        workload=workload.name,
        contestant=contestant,
        tasks=len(workload.tasks),
        time_ratio=round(time_ratio, 3),
        memory_ratio=round(memory_ratio, 3),
    )


def _print(rows: Sequence[Row], walls: Sequence[float]) -> None:
    table = Table(title="A training step, relative to the bare loop's (medians over rounds)", title_justify="left")
    table.add_column("workload")
    table.add_column("contestant")
    for column in ("tasks", "CPU time", "wall time", "memory"):
        table.add_column(column, justify="right")
    for row, wall in zip(rows, walls, strict=True):
        first = row["contestant"] == BARE_LOOP
        if first:
            table.add_section()
        ratios = (f"{ratio:.2f}" for ratio in (row["time_ratio"], wall, row["memory_ratio"]))
        table.add_row(row["workload"] if first else "", row["contestant"], str(row["tasks"]), *ratios)
    Console().print(table)


if __name__ == "__main__":
    main()
