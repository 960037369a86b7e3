"""Whether weights are still the same, without a copy of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.backward.shards import local


def weight_sizes(weights: Mapping[str, Any]) -> dict[str, str]:
    """Something small that changes with the weights: their norms, as texts, so that NaN equals itself.

    Of weights that are sharded, this process's parts count.
    """
    norms = {name: _norm(value) for name, value in weights.items() if isinstance(value, Tensor)}
    return {name: str(float(norm)) for name, norm in norms.items()}  # all are under way before one is waited for


def _norm(value: Tensor) -> Tensor:
    """In double precision, without a copy of a large tensor in it."""
    held = local(value)
    number = held if held.is_floating_point() else held.double()
    norm: Tensor = torch.linalg.vector_norm(number, dtype=torch.float64)
    return norm
