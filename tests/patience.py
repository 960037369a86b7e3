"""Waiting for other processes, on machines of any speed."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 1800.0
"""Seconds that a test waits at most. No machine is so slow: what takes longer hangs."""


def until(condition: Callable[[], T], going_on: Callable[[], bool] = lambda: True) -> T:
    """Waits until a condition is true, and returns it.

    Args:
        condition: Asked again and again.
        going_on: Whether it can still become true.
    """
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert going_on(), "what was waited for can no longer come"
        assert time.monotonic() < end, f"nothing in {PATIENCE:.0f} seconds"
        time.sleep(0.02)
    return found
