"""Lengths of many gradients, in few operations."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.backward.shards import is_sharded, local
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
        self._parameters = list(parameters)
        self._is_sharded = any(map(is_sharded, self._parameters))
        self._alone: list[int] = []
        joined: dict[torch.Size, list[int]] = {}
        for place, parameter in enumerate(self._parameters):
            is_small = parameter.dim() > 0 and parameter.numel() <= _SMALL
            (joined.setdefault(parameter.shape[1:], []) if is_small else self._alone).append(place)
        self._joined = list(joined.values())

    def find(self, gradients: Sequence[Tensor | None]) -> list[Tensor]:
        """The lengths, scalars.

        Args:
            gradients: One for each parameter, if there is one.
        """
        joined = [torch.cat(found) for places in self._joined if (found := _chosen(gradients, places))]
        found = joined + _chosen(gradients, self._alone)
        return list(torch._foreach_norm(found)) if found else []

    def written(self) -> list[Tensor]:
        """Those of the gradients that the parameters hold, of sharded ones of this process's part."""
        gradients = [parameter.grad for parameter in self._parameters]
        if self._is_sharded:
            gradients = [None if gradient is None else local(gradient) for gradient in gradients]
        return self.find(gradients)


def _chosen(gradients: Sequence[Tensor | None], places: Iterable[int]) -> list[Tensor]:
    return [values(gradient) for place in places if (gradient := gradients[place]) is not None]
