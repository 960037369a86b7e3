"""Whether memory and open descriptors grow in a long run on two processes: ``python -m experiments.soak``."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from experiments.soak.growth import MOST, Found, is_steady, judge, read

CONFIG = Path(__file__).with_name("config.yaml")
FULL, WARM_UP, PROCESSES = 20_000, 2_000, 2
CASES: Mapping[str, tuple[str, ...]] = {
    "no workers": ("--data.num_workers=0",),
    "a worker for each process, started anew in every epoch": (
        "--data.num_workers=1",
        "--trainer.reload_dataloaders_every_n_epochs=1",
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs each case, prints a table and writes the results; ends with status 1 if something grows."""
    options = _parser().parse_args(arguments)
    cases = [name for name in CASES if options.case is None or options.case in name]
    found = {name: run(name, options.steps, options.warm_up, options.every) for name in cases}
    _print(found)
    machine = f"{os.cpu_count()} CPU cores ({platform.machine()}), torch {torch.__version__}"
    head = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "warm_up": options.warm_up}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({**head, "cases": found}, indent=1) + "\n", "utf-8")
    steady = all(is_steady(one) for case in found.values() for one in case["processes"])
    sys.exit(0 if steady else 1)


def run(case: str, steps: int, warm_up: int, every: int) -> dict[str, Any]:
    """Trains as the command line does, with its log, Weights & Biases offline and checkpoints.

    Args:
        case: A key of ``CASES``.
        steps: How many.
        warm_up: Steps that do not count.
        every: Steps between two samples.

    Returns:
        ``steps``, ``seconds``, and ``processes``: what each holds.
    """
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mtl_lightning", "fit", "--config", str(CONFIG), *CASES[case]]
        command += [f"--trainer.max_steps={steps}", f"--trainer.callbacks.every={every}", "--wandb=offline"]
        command += [f"--trainer.default_root_dir={folder}", "--trainer.enable_progress_bar=false"]
        began = time.perf_counter()
        subprocess.run(command, env=_environment(folder), stdout=subprocess.DEVNULL, check=True)
        seconds = round(time.perf_counter() - began)
        found = [judge(read(Path(folder, f"held-{rank}.csv")), warm_up) for rank in range(PROCESSES)]
    return {"steps": steps, "seconds": seconds, "processes": found}


def _environment(folder: str) -> dict[str, str]:
    """One thread a process; encoded tables are left where the run is."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": str(Path(folder, "cache"))}


def _print(found: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(title=f"Once warm, and at the end: memory may grow by {MOST:.0%}", title_justify="left")
    for column in ("case", "process", "resident MB", "growth", "anonymous MB", "descriptors", "children"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for name, case in found.items():
        for rank, one in enumerate(case["processes"]):
            style = None if is_steady(one) else "red"
            table.add_row(f"{name}: {case['steps']:,} steps", str(rank), *_cells(one), style=style)
    Console().print(table)


def _cells(one: Found) -> Iterator[str]:
    yield "{:.1f}, {:.1f}".format(*one["resident"])
    yield f"{one['growth']:+.2%}"
    yield "{:.1f}, {:.1f}".format(*one["anonymous"])
    yield "{}, {}".format(*one["descriptors"])
    yield "{}, {}".format(*one["children"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.soak", description=__doc__)
    parser.add_argument("--steps", type=int, default=FULL, help="optimizer steps (default: %(default)s)")
    parser.add_argument("--warm_up", type=int, default=WARM_UP, help="steps that do not count (default: %(default)s)")
    parser.add_argument("--every", type=int, default=100, help="steps between two samples (default: %(default)s)")
    parser.add_argument("--case", metavar="TEXT", help=f"only those with this in their name: {', '.join(CASES)}")
    parser.add_argument("--output", type=Path, default=Path("build/soak.json"), help="file for the results")
    return parser


if __name__ == "__main__":
    main()
