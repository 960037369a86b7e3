"""Rows of different lengths as one tensor."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor


def pad(rows: Sequence[Any], value: float, dtype: DTypeLike = np.int64) -> Tensor:
    """Stacks rows and fills them up at their ends.

    Args:
        rows: B arrays or lists, each [L_i, ...].
        value: What to fill up with.
        dtype: Of the result.

    Returns:
        Their stack [B, L, ...], as long as the longest.

    >>> pad([[1, 2, 3], [], [4]], value=0)
    tensor([[1, 2, 3],
            [0, 0, 0],
            [4, 0, 0]])
    """
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    longest = int(lengths.max())
    padded = np.full((len(rows), longest, *np.shape(rows[int(lengths.argmax())])[1:]), value, dtype)
    if longest:
        padded[np.arange(longest) < lengths[:, None]] = np.concatenate([row for row in rows if len(row)])
    return torch.from_numpy(padded)
