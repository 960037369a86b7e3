"""Inputs that are numbers already: images and feature vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.encoders.base import InputProcessor
from mtl_lightning.errors import UserError


class TensorProcessor(InputProcessor):
    """Stacks arrays of one fixed shape as float32.

    Args:
        name: The input's name, say ``image``.
        ndim: Number of dimensions of one example.
    """

    def __init__(self, name: str, ndim: int) -> None:
        self.inputs = (name,)
        self.ndim = ndim

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        (name,) = self.inputs
        arrays = [np.asarray(value, dtype=np.float32) for value in columns[name]]
        for array in arrays:
            if array.ndim != self.ndim or array.shape != arrays[0].shape:
                raise UserError(
                    f"input '{name}' must have {self.ndim} dimensions and one shape for all examples, "
                    f"found {list(array.shape)} beside {list(arrays[0].shape)}"
                )
        return {name: arrays}

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        (name,) = self.inputs
        return {name: torch.from_numpy(np.stack([np.asarray(e[name], dtype=np.float32) for e in examples]))}

    def length(self, example: Mapping[str, Any]) -> int:
        return 1

    def signature(self) -> Any:
        return [self.inputs, self.ndim]
