"""Numbers to predict: what they are read as, and how they spread."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from mtl_lightning.errors import UserError, shown

LARGEST = 1e36
"""Errors of targets up to this size still fit into a float32 with room to spare."""

ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""Numbers are equal but for rounding if they differ by no more than this part of their size."""

_EXACT = 2**53
_SENTINELS = (-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0)


class Spread(NamedTuple):
    """How the targets of a training split spread.

    Attributes:
        mean: Their mean.
        std: Their standard deviation; 1 where they are all equal but for rounding.
        notes: What a user should know of them, a line each.
    """

    mean: float
    std: float
    notes: list[str]

    @classmethod
    def of(cls, values: Iterable[Any]) -> "Spread":
        """From raw labels, missing ones left out; those that are no finite number do not count.

        Raises:
            UserError: If there is none.
        """
        rounded: list[Any] = []
        numbers = np.fromiter(_numbers(values, rounded), np.float64)
        if len(numbers) == 0:
            raise UserError("has no label in the training split")
        mean, std = float(numbers.mean()), float(numbers.std())
        constant = std <= ROUNDING * float(np.abs(numbers).max())
        notes = [_rounded(rounded)] if rounded else []
        if constant:
            mean = float(np.median(numbers))
            notes.append(
                f"all its {len(numbers):,} targets in the training split are {mean!r}: nothing can be learned from them"
            )
        notes += _sentinels(numbers)
        return cls(mean, 1.0 if constant else std, notes)


def to_number(value: Any) -> float | None:
    """The number that a raw label says, infinite ones and NaN too; None if it says none."""
    if isinstance(value, str) and "_" in value:  # Python's own way to group digits
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def _numbers(values: Iterable[Any], rounded: list[Any]) -> Iterable[float]:
    """The finite numbers; one that a float64 cannot hold goes to ``rounded``."""
    for value in values:
        number = to_number(value)
        if number is not None and math.isfinite(number):
            if abs(number) >= _EXACT and _whole(value) not in (None, int(number)):
                rounded.append(value)
            yield number


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None


def _rounded(values: list[Any]) -> str:
    return (
        f"{len(values):,} targets, such as {shown(values[0])}, are beyond 2^53 and lose digits after the 16th; "
        f"subtract an offset from them if these matter"
    )


def _sentinels(numbers: np.ndarray) -> list[str]:
    """Notes on a number such as -999 that recurs far from all others."""
    notes = []
    for sentinel in _SENTINELS:
        same = numbers == sentinel
        others = numbers[~same]
        if same.sum() < 2 or len(others) == 0:
            continue
        gap = (others.min() - sentinel) if sentinel < 0 else (sentinel - others.max())
        if gap > max(float(np.ptp(others)), 1.0):
            notes.append(
                f"{same.sum():,} of {len(numbers):,} targets are {sentinel:g}, far from all others: if it means "
                f"'no label', set `missing: {sentinel:g}`"
            )
    return notes
