"""Rows of different lengths as one array."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


def padded(rows: Sequence[Any], value: float, dtype: DTypeLike = np.int64) -> np.ndarray:
    """Stacks rows and fills them up at their ends.

    Args:
        rows: B arrays or lists, each [L_i, ...].
        value: What to fill up with.
        dtype: Of the result.

    Returns:
        Their stack [B, L, ...], as long as the longest.

    >>> padded([[1, 2, 3], [], [4]], value=0)
    array([[1, 2, 3],
           [0, 0, 0],
           [4, 0, 0]])
    """
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    longest = int(lengths.max())
    stacked = np.full((len(rows), longest, *np.shape(rows[int(lengths.argmax())])[1:]), value, dtype)
    if longest:
        stacked[np.arange(longest) < lengths[:, None]] = np.concatenate([row for row in rows if len(row)])
    return stacked
