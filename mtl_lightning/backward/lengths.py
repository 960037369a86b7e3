"""Lengths of many gradients, in few operations."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mtl_lightning.backward.sparse import values

_SMALL = 1 << 12
"""Values of a gradient that is copied rather than reduced alone."""


class Lengths:
    """What tells whether gradients are finite: lengths of large ones, and of small ones of a shape together.

    Small ones that differ in their first dimension alone, as the weights of heads that read the same features, are
    joined as they are.

    Args:
        parameters: Whose gradients to look at.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._alone: list[nn.Parameter] = []
        joined: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in parameters:
            is_small = parameter.dim() > 0 and parameter.numel() <= _SMALL
            (joined.setdefault(parameter.shape[1:], []) if is_small else self._alone).append(parameter)
        self._joined = list(joined.values())

    def find(self) -> list[Tensor]:
        """The lengths of the gradients that there are, scalars."""
        joined = [torch.cat(found) for parameters in self._joined if (found := _gradients(parameters))]
        found = joined + _gradients(self._alone)
        return list(torch._foreach_norm(found)) if found else []


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [values(gradient) for parameter in parameters if (gradient := parameter.grad) is not None]
