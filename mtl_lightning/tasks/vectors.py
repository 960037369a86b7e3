"""Labels given as vectors of 0 and 1, one position a label."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import is_missing

_VALUES: dict[Any, float] = {0: 0.0, 1: 1.0, "0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}
_SIGNED = ("1", "-1", "1.0", "-1.0")
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

    Raises:
        UserError: If all rows are vectors of -1 and 1.
    """
    known = [row for row in rows if len(row)]
    lengths = Counter(map(len, known))
    if all(as_vector(row) is not None for row in known):
        return max(lengths, key=lengths.__getitem__) if known else None
    if min(lengths) > 1 and all(str(item) in _SIGNED for row in known for item in row):
        raise UserError(f"expected names of labels, or a vector of 0 and 1, found {shown(known[0])}; write 0 for -1")
    return None


def _value(item: Any) -> float | None:
    if is_missing(item) or (isinstance(item, str) and item.strip().casefold() in _ABSENT):
        return math.nan
    try:
        return _VALUES.get(item.strip() if isinstance(item, str) else item)
    except TypeError:  # a list in the list
        return None
