"""Measures steps of 1, 2 and 4 gloo processes beside what the model predicts: ``python -m experiments.step_time``."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.benchmark.rows import about
from experiments.step_time.measure import Row, measure
from experiments.step_time.steps import Scale

_FULL = Scale(widths=(512, 1448, 1448), rounds=9)
_QUICK = Scale(widths=(16, 16, 16), rounds=2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints a table and records the rows."""
    parser = argparse.ArgumentParser(prog="python -m experiments.step_time", description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], metavar="N", help="numbers of processes")
    parser.add_argument("--quick", action="store_true", help="a tiny model, to see that it works")
    parser.add_argument(
        "--processor_time", action="store_true", help="seconds of the processor, where other work disturbs the wall's"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the rows there, with day and machine")
    options = parser.parse_args(arguments)
    scale = _QUICK if options.quick else _FULL
    clock = time.process_time if options.processor_time else time.perf_counter
    rows = [row for number in options.processes for row in measure(number, scale, clock)]
    _print(rows)
    if options.record:
        command = shlex.join(["python", "-m", "experiments.step_time", *(arguments or sys.argv[1:])])
        kind = "processor" if options.processor_time else "wall"
        document = {**about(threads=1), "command": command, "seconds": kind, "rows": rows}
        options.record.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _print(rows: Sequence[Row]) -> None:
    table = Table("processes", "step", "computing, ms", "predicted, ms", "measured, ms", "predicted ÷ measured")
    for row in rows:
        times = (f"{1000 * row[key]:.1f}" for key in ("computing", "predicted", "measured"))
        table.add_row(str(row["processes"]), row["step"], *times, f"{row['ratio']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
