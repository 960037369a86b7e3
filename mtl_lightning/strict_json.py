"""JSON as its standard has it."""

import json
import math
from typing import Any

from mtl_lightning.terminal import printable_json


def to_json(value: Any) -> str:
    """The value in JSON, which has neither NaN nor infinity: they are null.

    >>> to_json({"a": [1.5, float("nan")]})
    '{"a": [1.5, null]}'
    """
    try:
        return _strict(value)
    except ValueError:
        return _strict(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_finite(value: Any) -> bool:
    """Whether JSON can hold all numbers in a value."""
    try:
        return bool(_strict(value))
    except ValueError:
        return False


def _strict(value: Any) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str))
