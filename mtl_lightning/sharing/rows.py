"""What is routed of a signal: rows, which are its examples or its positions."""

from typing import Any

import torch
from torch import Tensor

from mtl_lightning.sharing.expert_kinds import ExpertKind


class Rows:
    """The rows of a signal: one for each vector that a gate reads.

    Args:
        kind: Knows how the signal is read.
        signal: What runs between encoder and experts.

    Attributes:
        vectors: What routers read [N, D].
        real: False for padding [N].
    """

    def __init__(self, kind: ExpertKind, signal: Any) -> None:
        self._kind, self._signal = kind, signal
        found = kind.vectors(signal)
        self._shapes = [each.values.shape[:-1] for each in found]
        masks = [torch.ones_like(v[..., 0], dtype=torch.bool) if mask is None else mask for v, mask in found]
        self.vectors = torch.cat([each.values.flatten(0, -2) for each in found])
        self.real = torch.cat([mask.flatten() for mask in masks])

    @property
    def values(self) -> Any:
        """What experts read, tensors [N, ...]."""
        return self._kind.row_values(self._signal, self.vectors)

    def end(self, made: Tensor) -> Any:
        """The representation that the signal becomes.

        Args:
            made: What its rows became [N, ...].
        """
        parts = torch.split(made, [shape.numel() for shape in self._shapes])
        tensors = [part.reshape(*shape, *part.shape[1:]) for part, shape in zip(parts, self._shapes, strict=True)]
        return self._kind.end(self._kind.replaced(self._signal, tensors))
