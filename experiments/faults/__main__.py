"""``python -m experiments.faults``: every fault, with each way of starting a run; prints a table and keeps it."""

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from experiments.faults.faults import ERRORS, KILLS
from experiments.faults.folders import FOLDERS
from experiments.faults.starting import DEVICES, SRUN, STARTERS, slurm
from experiments.faults.table import table
from experiments.faults.trying import Found, attempt, whole


def main(arguments: Sequence[str] | None = None) -> None:
    """Tries them."""
    parser = argparse.ArgumentParser(prog="python -m experiments.faults", description=__doc__)
    parser.add_argument("--starter", action="append", choices=["devices", "torchrun", "srun"])
    parser.add_argument("--only", action="append", help="part of a fault's name; may be given several times")
    parser.add_argument("--output", type=Path, default=Path("build/faults"))
    options = parser.parse_args(arguments)
    wanted = options.only or [""]
    starters = [name for name in STARTERS if not options.starter or any(each in name for each in options.starter)]
    output: Path = options.output.resolve()
    if output.exists():
        parser.error(f"--output: {output} exists; name another folder")
    output.mkdir(parents=True)
    found: list[Found] = []
    with ExitStack() as stack:
        if SRUN in starters:
            stack.enter_context(slurm())
        expected = whole(output)
        for starter in starters:
            for fault in KILLS if starter != DEVICES else KILLS + ERRORS:
                if any(part in fault.name for part in wanted):
                    folder = output / f"{len(found):02d}"
                    found.append(attempt(fault, starter, folder, expected))
                    print(found[-1], flush=True)
            for name, try_it in FOLDERS.items():
                if any(part in name for part in wanted):
                    found.append(try_it(name, starter, output / f"{len(found):02d}", expected))
                    print(found[-1], flush=True)
    (output / "found.json").write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
