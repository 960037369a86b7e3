"""Inputs that are numbers already: images and feature vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.encoders.input_processor import InputProcessor
from mtl_lightning.encoders.numbers import numbers
from mtl_lightning.encoders.raw_texts import filled
from mtl_lightning.encoders.several import NUM_SEQUENCES, SEQUENCES, flat, nested
from mtl_lightning.errors import UserError, shown

_CHOICES = "choices"


class TensorProcessor(InputProcessor):
    """Stacks arrays of finite numbers of one fixed shape as float32; numbers may be written as texts.

    What has a dimension less than ``ndim`` is one item of the first: a number is a vector of one, an image without
    channels has one. Of several columns, the items follow each other.

    ``choices`` are lists of such arrays, at least one, in any number: an example is several then.

    Args:
        name: The input's name, say ``image``.
        ndim: Number of dimensions of one example.
        first: Size of the first of them; null: that of the other examples.
        setting: The encoder's argument that says ``first``, for messages.
    """

    for_heads = frozenset({SEQUENCES, _CHOICES})

    def __init__(self, name: str, ndim: int, first: int | None = None, setting: str | None = None) -> None:
        self.name = name
        self.inputs = (name, _CHOICES)
        self.ndim = ndim
        self.first = first
        self.setting = setting

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        if len(columns) > 1:
            raise UserError(f"give one of {', '.join(f'`{name}`' for name in self.inputs)}; found {', '.join(columns)}")
        ((name, values),) = columns.items()
        if name != _CHOICES:
            return {name: self._arrays(name, values)}
        rows = [_listed(value) for value in values]
        arrays = self._arrays(name, [item for row in rows for item in row])
        return nested({self.name: arrays}, [len(row) for row in rows], [name])

    def _arrays(self, name: str, values: Sequence[Any]) -> list[np.ndarray]:
        arrays = [self._array(name, value) for value in values]
        for array in arrays:
            if array.shape[1:] != arrays[0].shape[1:] or (self.first is None and array.shape != arrays[0].shape):
                raise UserError(
                    f"input '{name}' must have one shape for all examples, "
                    f"found {list(array.shape)} beside {list(arrays[0].shape)}"
                )
        return arrays

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        if NUM_SEQUENCES in examples[0]:
            parts, of_examples = flat(examples)
            return {**self.collate(parts), **of_examples}
        name = self.name
        arrays = [np.asarray(example[name], dtype=np.float32) for example in examples]
        if len(shapes := {array.shape for array in arrays}) > 1:
            found = " and ".join(str(list(shape)) for shape in sorted(shapes)[:2])
            raise UserError(f"input '{name}' must have one shape for all examples, found {found}")
        return {name: torch.from_numpy(np.stack(arrays))}

    def length(self, example: Mapping[str, Any]) -> int:
        return int(example.get(NUM_SEQUENCES, 1))

    def signature(self) -> Any:
        return [(self.name,), self.ndim, self.first]

    def _array(self, name: str, value: Any) -> np.ndarray:
        """An example, of ``ndim`` dimensions and the right size in the first of them."""
        parts = enumerate(value) if isinstance(value, tuple) else [(None, value)]
        arrays = [self._part(name, part, item) for part, item in parts]
        try:
            array = np.concatenate(arrays)
        except ValueError as error:
            shapes = ", ".join(str(list(array.shape)) for array in arrays[:6])
            raise UserError(f"input '{name}': its columns must have one shape, found {shapes}") from error
        if array.size == 0 or len(array) != (self.first or len(array)):
            raise UserError(self._missized(name, len(array), len(arrays)))
        return array

    def _part(self, name: str, part: int | None, value: Any) -> np.ndarray:
        try:
            array = numbers(value)
        except UserError as error:
            raise UserError(f"input '{name}' {error}", part=part) from error
        if array.ndim not in (self.ndim - 1, self.ndim):
            raise UserError(
                f"input '{name}' must have {self.ndim} dimension{'s' * (self.ndim > 1)}, "
                f"found {array.ndim}, of shape {list(array.shape)}",
                part=part,
            )
        return array if array.ndim == self.ndim else array[None]

    def _missized(self, name: str, found: int, num_columns: int) -> str:
        unit = "number" if self.ndim == 1 else "channel"
        if self.setting is None or not found:
            return f"input '{name}' must begin with {self.first or 'some'} values, found {found}"
        of = f" in its {num_columns} columns" if num_columns > 1 else ""
        return f"`{self.setting}` is {self.first}, but input '{name}' has {found} {unit}{'s' * (found > 1)}{of}"


def _listed(value: Any) -> list[Any]:
    """The choices of one example: those of a list, or of several columns, of which the last may be empty."""
    if not isinstance(value, list | tuple | np.ndarray):
        raise UserError(f"input '{_CHOICES}': expected a list of choices, found {shown(value)}")
    if not (choices := filled(value)):
        raise UserError(f"input '{_CHOICES}': expected at least one choice, found {shown(value)}")
    return choices
