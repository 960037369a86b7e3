"""What a run holds at its end, beside what it held once it was warm."""

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TypedDict

MOST = 0.02
"""By how much resident memory may grow."""
_WINDOW = 0.05
_COUNTS = ("descriptors", "children")

Samples = list[dict[str, int]]


class Found(TypedDict):
    """Of one process.

    Attributes:
        resident: MB of resident memory, once warm and at the end; each the median over a twentieth of the steps.
        growth: Of resident memory, relative.
        anonymous: MB of memory without a file behind it, likewise.
        descriptors: Open ones, likewise.
        children: Processes that it has started and that are there, likewise.
    """

    resident: tuple[float, float]
    growth: float
    anonymous: tuple[float, float]
    descriptors: tuple[int, int]
    children: tuple[int, int]


def read(file: Path) -> Samples:
    """The lines that :class:`.Watch` has written."""
    with file.open(newline="") as lines:
        return [{name: int(value) for name, value in line.items()} for line in csv.DictReader(lines)]


def judge(samples: Samples, warm_up: int) -> Found:
    """Compares the end with the steps that follow the warm-up.

    Raises:
        ValueError: If there are no two samples after it.
    """
    warm = [sample for sample in samples if sample["step"] > warm_up]
    if len(warm) < 2:
        raise ValueError(f"no two samples after step {warm_up}; the last one is of step {samples[-1]['step']}")
    size = max(1, round(_WINDOW * len(samples)))
    first, last = warm[:size], warm[-size:]
    memory = {name: (_middle(first, name) / 1e6, _middle(last, name) / 1e6) for name in ("resident", "anonymous")}
    counts = {name: (round(_middle(first, name)), round(_middle(last, name))) for name in _COUNTS}
    before, after = memory["resident"]
    return Found(
        resident=(round(before, 1), round(after, 1)),
        growth=round(after / before - 1, 4),
        anonymous=(round(memory["anonymous"][0], 1), round(memory["anonymous"][1], 1)),
        descriptors=counts["descriptors"],
        children=counts["children"],
    )


def is_steady(found: Found) -> bool:
    """Whether memory grows by less than is allowed, and descriptors and children not at all."""
    return found["growth"] < MOST and all(
        after <= before for before, after in (found["descriptors"], found["children"])
    )


def _middle(samples: Sequence[dict[str, int]], name: str) -> float:
    return median(sample[name] for sample in samples)
