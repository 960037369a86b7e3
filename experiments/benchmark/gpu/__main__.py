"""Measures what training costs on one GPU, in five minutes at most: ``python -m experiments.benchmark.gpu``."""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch

from experiments.benchmark.contestants import EQUAL, IN_LIGHTNING
from experiments.benchmark.gpu.compiled import compiled
from experiments.benchmark.gpu.device import Device
from experiments.benchmark.gpu.found import Found, print_found
from experiments.benchmark.gpu.in_lightning import in_lightning
from experiments.benchmark.gpu.plain import LARGE, PRECISIONS, in_plain_loops, rehearsed, sections
from experiments.benchmark.gpu.shared_card import on_one_card
from experiments.benchmark.gpu.transfers import transfers
from experiments.benchmark.measure import Effort
from experiments.benchmark.processes import CASES
from experiments.benchmark.silence import silence
from experiments.benchmark.workloads import Perceptron, one_input, several_inputs

EFFORT, REHEARSED = Effort(rounds=5, steps=3), Effort(rounds=2, steps=1)
MINUTES = 4.5
COMPILED = replace(LARGE, layers=2)
TINY = Perceptron((16, 16))

Part: TypeAlias = Callable[[], Iterable[Found]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures until it is done or the time is over, prints tables and writes the rows."""
    options = _parser().parse_args(arguments)
    rehearses = options.rehearse is not None
    if not (rehearses or torch.cuda.is_available()):
        raise SystemExit(f"error: torch {torch.__version__} finds no GPU, and nothing else is measured here")
    silence()
    device = Device("cpu" if rehearses else "cuda")
    parts = _parts(device)
    if rehearses:
        parts = {name: part for name, part in _rehearsed(device).items() if name in options.rehearse}
    began = time.monotonic()
    rows, left_out = _measured(parts, began + 60 * options.minutes)
    print_found(rows)
    for part, why in left_out.items():
        print(f"not all of {part}: {why}")
    machine = f"{device.name}, torch {torch.__version__}"
    head = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "left_out": left_out}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({**head, "rows": rows}, indent=1) + "\n", "utf-8")
    print(f"{len(rows)} rows in {time.monotonic() - began:.0f} s: {options.output}")


def _measured(
    parts: Mapping[str, Part], end: float, clock: Callable[[], float] = time.monotonic
) -> tuple[list[Found], dict[str, str]]:
    """The rows that come before the end, and why some of a part's are missing."""
    rows: list[Found] = []
    left_out = {}
    for name, part in parts.items():
        try:
            if not _collect(part, lambda: clock() >= end, rows):
                left_out[name] = "the time is over"
        except torch.OutOfMemoryError:
            left_out[name] = "out of memory"
    return rows, left_out


def _collect(part: Part, is_over: Callable[[], bool], rows: list[Found]) -> bool:
    """Adds a part's rows; returns whether these are all: when the time is over, no further one is begun."""
    if is_over():
        return False
    for row in part():
        rows.append(row)
        if is_over():
            return False
    return True


def _parts(device: Device) -> dict[str, Part]:
    """What is measured, what matters most first."""
    several = several_inputs("several inputs of 8, large", 4, 8, LARGE)
    one = one_input("one input of 32, large", 4, 32, COMPILED)
    first, second, *others = sections()
    parts: dict[str, Part] = {"copies": partial(transfers, device, 256)}
    for precision in PRECISIONS:
        for section in (first, second):
            parts[f"{section.workload.name}, {precision}"] = partial(in_plain_loops, device, precision, section, EFFORT)
        given = (device, precision, several, EFFORT, list(IN_LIGHTNING))
        parts[f"Lightning, {precision}"] = partial(in_lightning, *given)
    parts["two processes"] = partial(on_one_card, device, CASES, EFFORT)
    parts["a compiled encoder"] = partial(compiled, device, one, EFFORT)
    for section in others:
        for precision in PRECISIONS:
            parts[f"{section.workload.name}, {precision}"] = partial(in_plain_loops, device, precision, section, EFFORT)
    return parts


def _rehearsed(device: Device) -> dict[str, Part]:
    """The same with almost nothing to do."""
    tiny = one_input("one input of 4", 2, 4, TINY)
    return {
        "copies": partial(transfers, device, 1),
        "plain loops": partial(in_plain_loops, device, "bf16", rehearsed(), REHEARSED),
        "Lightning": partial(in_lightning, device, "bf16", tiny, REHEARSED, [EQUAL]),
        "two processes": partial(on_one_card, device, [CASES[0].quick()], REHEARSED),
        "a compiled encoder": partial(compiled, device, tiny, REHEARSED),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark.gpu", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="after which nothing is begun (default: %(default)g)"
    )
    parser.add_argument("--output", type=Path, default=Path("build/gpu.json"), help="file for the rows")
    parser.add_argument("--rehearse", nargs="+", help=argparse.SUPPRESS)  # some parts, tiny, on the CPU
    return parser


if __name__ == "__main__":
    main()
