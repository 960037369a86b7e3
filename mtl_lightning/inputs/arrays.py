"""Numbers as arrays: images and feature vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl_lightning.errors import UserError, shown
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.image_files import ENDINGS
from mtl_lightning.inputs.images import IMAGE
from mtl_lightning.inputs.numbers import numbers
from mtl_lightning.inputs.raw_texts import filled
from mtl_lightning.inputs.several import NUM_SEQUENCES, flat, nested

_CHOICES = "choices"
_OF_FILES = "; to read image files, set `images` on the encoder, say `images: {size: 64}`"


class ArrayInputs(Inputs):
    """The plain part of :class:`.TensorProcessor`, which describes its inputs and arguments."""

    def __init__(self, name: str, ndim: int, first: int | None = None, setting: str | None = None) -> None:
        self.name = name
        self.inputs = (name, _CHOICES)
        self.array_files = frozenset(self.inputs)
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

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        if NUM_SEQUENCES in examples[0]:
            parts, of_examples = flat(examples)
            return {**self.collate(parts), **of_examples}
        name = self.name
        arrays = [np.asarray(example[name], dtype=np.float32) for example in examples]
        if len(shapes := {array.shape for array in arrays}) > 1:
            found = " and ".join(str(list(shape)) for shape in sorted(shapes)[:2])
            raise UserError(f"input '{name}' must have one shape for all examples, found {found}")
        return {name: np.stack(arrays)}

    def length(self, example: Mapping[str, Any]) -> int:
        return int(example.get(NUM_SEQUENCES, 1))

    def state(self) -> dict[str, Any]:
        return {"name": self.name, "ndim": self.ndim, "first": self.first, "setting": self.setting}

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
            array = numbers(value, cure=_OF_FILES if name == IMAGE and _is_file(value) else "")
        except UserError as error:
            raise UserError(f"input '{name}' {error}", part=part) from error
        if array.ndim not in (self.ndim - 1, self.ndim):
            raise UserError(
                f"input '{name}' must have {self.ndim} dimension{'s' * (self.ndim > 1)}, "
                f"found {array.ndim}, of shape {list(array.shape)}",
                part=part,
            )
        if array.ndim == 3 and array.shape[0] != self.first == array.shape[2]:
            return np.moveaxis(array, 2, 0)
        return array if array.ndim == self.ndim else array[None]

    def _missized(self, name: str, found: int, num_columns: int) -> str:
        unit = "number" if self.ndim == 1 else "channel"
        if self.setting is None or not found:
            return f"input '{name}' must begin with {self.first or 'some'} values, found {found}"
        of = f" in its {num_columns} columns" if num_columns > 1 else ""
        return f"`{self.setting}` is {self.first}, but input '{name}' has {found} {unit}{'s' * (found > 1)}{of}"


def _is_file(value: Any) -> bool:
    """Whether a value seems to be an image file: a path, the content, or an object as `datasets` has it."""
    return isinstance(value, bytes | dict) or (isinstance(value, str) and value.lower().endswith(ENDINGS))


def _listed(value: Any) -> list[Any]:
    """The choices of one example: those of a list, or of several columns, of which the last may be empty."""
    if not isinstance(value, list | tuple | np.ndarray):
        raise UserError(f"input '{_CHOICES}': expected a list of choices, found {shown(value)}")
    if not (choices := filled(value)):
        raise UserError(f"input '{_CHOICES}': expected at least one choice, found {shown(value)}")
    return choices
