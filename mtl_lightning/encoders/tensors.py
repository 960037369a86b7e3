"""Inputs that are numbers already: images and feature vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.encoders.base import InputProcessor
from mtl_lightning.errors import UserError, shown


class TensorProcessor(InputProcessor):
    """Stacks arrays of finite numbers of one fixed shape as float32.

    Args:
        name: The input's name, say ``image``.
        ndim: Number of dimensions of one example.
        first: Size of the first of them; null: that of the other examples.
    """

    def __init__(self, name: str, ndim: int, first: int | None = None) -> None:
        self.inputs = (name,)
        self.ndim = ndim
        self.first = first

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        (name,) = self.inputs
        arrays = [_array(name, value) for value in columns[name]]
        for array in arrays:
            if array.ndim != self.ndim or array.shape != arrays[0].shape:
                raise UserError(
                    f"input '{name}' must have {self.ndim} dimensions and one shape for all examples, "
                    f"found {list(array.shape)} beside {list(arrays[0].shape)}"
                )
            if array.size == 0 or len(array) != (self.first or len(array)):
                raise UserError(f"input '{name}' must begin with {self.first or 'some'} values, found {len(array)}")
        return {name: arrays}

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        (name,) = self.inputs
        arrays = [np.asarray(example[name], dtype=np.float32) for example in examples]
        if len(shapes := {array.shape for array in arrays}) > 1:
            found = " and ".join(str(list(shape)) for shape in sorted(shapes)[:2])
            raise UserError(f"input '{name}' must have one shape for all examples, found {found}")
        return {name: torch.from_numpy(np.stack(arrays))}

    def length(self, example: Mapping[str, Any]) -> int:
        return 1

    def signature(self) -> Any:
        return [self.inputs, self.ndim, self.first]


def _array(name: str, value: Any) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # it becomes infinite
            array = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"input '{name}' must be numbers in lists of one length, found {shown(value)}") from error
    if not np.isfinite(array).all():
        raise UserError(f"input '{name}' must be finite numbers, found {array[~np.isfinite(array)][0]}")
    return array
