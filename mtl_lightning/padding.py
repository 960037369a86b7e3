"""Rows of different lengths as one tensor."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from mtl_lightning.inputs.padding import padded


def pad(rows: Sequence[Any], value: float, dtype: DTypeLike = np.int64) -> Tensor:
    """The rows as :func:`.inputs.padding.padded` stacks them [B, L, ...], a tensor."""
    return torch.from_numpy(padded(rows, value, dtype))
