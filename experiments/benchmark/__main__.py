"""Measures what training with the package costs, beside what one does without: ``python -m experiments.benchmark``."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from experiments.benchmark import algebra, feeding, memory, parallel, processes, reading, starting
from experiments.benchmark.measure import keep_freed_memory
from experiments.benchmark.rows import Row, print_tables, record, row, write
from experiments.benchmark.sections import QUICK, SECTIONS, Section
from experiments.benchmark.silence import silence
from experiments.data.place import obtain


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints tables and writes the rows."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.section and (options.workloads or options.processor_time):
        parser.error("--section goes with neither --workloads nor --processor_time")
    silence()
    rows = _on_processes(options.quick, options.rounds) if options.section else _all(options)
    print_tables(rows)
    rows += [] if options.section or options.workloads else _algebra(options.quick)
    write(rows, options.output)
    if options.record:
        command = shlex.join(["python", "-m", "experiments.benchmark", *(arguments or sys.argv[1:])])
        record(rows, options.threads, command, options.record)


def _all(options: argparse.Namespace) -> list[Row]:
    """Everything but the algebra, as far as it is wanted."""
    sections = [section.quick() if options.quick else section for section in _chosen(options.workloads)]
    sections = [section.shortened(options.rounds) if options.rounds else section for section in sections]
    peaks = [section.peaks(options.threads) for section in sections]
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    rows = [row for section, found in zip(sections, peaks, strict=True) for row in section.rows(found)]
    if not (options.processor_time or options.workloads):
        rows += _on_processes(options.quick, options.rounds)
        rows += _on_real_sentences(options.data, options.quick)
        rows += feeding.measure(feeding.QUICK if options.quick else feeding.Effort())
        rows += starting.measure(1) if options.quick else starting.measure()
    return rows


def _chosen(names: Sequence[str] | None) -> list[Section]:
    return [section for section in SECTIONS if names is None or any(name in section.workload.name for name in names)]


def _on_processes(quick: bool, rounds: int | None) -> list[Row]:
    strategies = list(parallel.STRATEGIES)
    if quick:
        return processes.measure([case.quick() for case in processes.CASES], QUICK, processes.FEW, strategies)
    effort = replace(processes.EFFORT, rounds=rounds or processes.EFFORT.rounds)
    return processes.measure(processes.CASES, effort, processes.WORLDS, strategies)


def _on_real_sentences(data: Path, quick: bool) -> list[Row]:
    if missing := [data / name for name in reading.SENTENCES if not (data / name).is_dir()]:
        how = f"`{obtain(*reading.SENTENCES)}` writes it, or name the folder of your data sets with --data"
        print(f"no folder {missing[0]}: nothing is measured on real sentences; {how}")
        return []
    if quick:
        return reading.measure(data, reading.QUICK) + memory.measure(data, *memory.QUICK)
    return reading.measure(data) + memory.measure(data)


def _algebra(quick: bool) -> list[Row]:
    found = algebra.measure(1, ["MGDA", "UPGrad"]) if quick else algebra.measure(5)
    algebra.print_table(found)
    return [
        row("algebra, beside TorchJD's", r["method"], r["tasks"], r["time_ratio"], r["at_most"], cosine=r["cosine"])
        for r in found
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little to do: whether it runs, not how fast")
    parser.add_argument("--output", type=Path, default=Path("build/benchmark.json"), help="file for the rows")
    parser.add_argument(
        "--data", type=Path, default=reading.DATA, help="folder of ud_ewt and snips (default: %(default)s)"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="also write the rows with day and machine to it")
    parser.add_argument(
        "--processor_time",
        action="store_true",
        help="only what processor time measures: other work on the machine disturbs the rest",
    )
    parser.add_argument(
        "--workloads",
        nargs="+",
        metavar="NAME",
        help="only the workloads of one process in whose name one of these stands, and no algebra",
    )
    parser.add_argument("--section", choices=["processes"], help="only what is measured on several processes")
    parser.add_argument("--rounds", type=int, help="of the time measurement (default: what each workload needs)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    return parser


if __name__ == "__main__":
    main()
