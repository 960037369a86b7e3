"""Labels given as vectors of 0 and 1, one position a label."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mtl_lightning.tasks.missing import is_missing

_VALUES: dict[Any, float] = {0: 0.0, 1: 1.0, "0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}
_ABSENT = ("nan", "none", "null")


def as_vector(items: Sequence[Any]) -> list[float] | None:
    """The items as a vector of 0 and 1, NaN where one is missing; None where they are anything else.

    >>> as_vector([1, None, False]), as_vector(["a", 1]), as_vector([1])
    ([1.0, nan, 0.0], None, None)
    """
    vector = [_value(item) for item in items]
    known = [value for value in vector if value is not None]
    return known if len(known) == len(items) > 1 and not all(map(math.isnan, known)) else None


def common_length(rows: Iterable[Sequence[Any]]) -> int | None:
    """The length of the vectors, that of most of them; None unless all rows with an item are vectors.

    A list that names labels 0 and 1 alone, and each once, has two items at most and not always two: no vector.
    """
    lengths: Counter[int] = Counter()
    for row in rows:
        if len(row) and as_vector(row) is None:
            return None
        lengths[len(row)] += len(row) > 0
    return max(lengths, key=lengths.__getitem__) if lengths.total() else None


def _value(item: Any) -> float | None:
    if is_missing(item) or (isinstance(item, str) and item.strip().casefold() in _ABSENT):
        return math.nan
    try:
        return _VALUES.get(item.strip() if isinstance(item, str) else item)
    except TypeError:  # a list in the list
        return None
