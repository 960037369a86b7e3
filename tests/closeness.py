"""Predictions of a model beside those of what it was exported to."""

from collections.abc import Mapping
from typing import Any

import pytest


def close(found: Any, wanted: Any, tolerance: float = 1e-5) -> bool:
    """Whether two values are the same but for rounding: names in the same order, numbers to the fifth digit."""
    if isinstance(wanted, float):
        return bool(found == pytest.approx(wanted, rel=tolerance, abs=tolerance))
    if isinstance(wanted, Mapping):
        return list(found) == list(wanted) and all(close(found[key], wanted[key], tolerance) for key in wanted)
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(close(*each, tolerance) for each in zip(found, wanted, strict=True))
    return bool(found == wanted)
