"""Inputs that are numbers already: images and feature vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl_lightning.encoders.input_processor import PlainProcessor
from mtl_lightning.inputs.arrays import ArrayInputs
from mtl_lightning.inputs.augmentation import Augmentation, Change
from mtl_lightning.inputs.movement import Movement, changed_array, drawn, movement
from mtl_lightning.inputs.several import SEQUENCES


class TensorProcessor(PlainProcessor):
    """Stacks arrays of finite numbers of one fixed shape as float32; numbers may be written as texts.

    What has a dimension less than ``ndim`` is one item of the first: a number is a vector of one, an image without
    channels has one, and an image whose channels stand last gets them first. Of several columns, the items follow each
    other. An array may be the path of a ``.npy`` file, or its bytes.

    ``choices`` are lists of such arrays, at least one, in any number: an example is several then.

    Args:
        name: The input's name, say ``image``.
        ndim: Number of dimensions of one example.
        first: Size of the first of them; null: that of the other examples.
        setting: The encoder's argument that says ``first``, for messages.
        augment: Random changes of training examples, which are images [C, H, W] then, in this order.
    """

    plain: ArrayInputs
    for_heads = frozenset({SEQUENCES, "choices"})

    def __init__(
        self,
        name: str,
        ndim: int,
        first: int | None = None,
        setting: str | None = None,
        augment: Sequence[Augmentation] = (),
    ) -> None:
        self.augment = tuple(augment)
        self.plain = ArrayInputs(name, ndim, first, setting)
        self.inputs, self.array_files = self.plain.inputs, self.plain.array_files

    def signature(self) -> Any:
        return [(self.plain.name,), self.plain.ndim, self.plain.first]

    def varied(self, example: Mapping[str, Any], key: Sequence[int]) -> Mapping[str, Any]:
        if not self.augment:
            return example
        array = np.asarray(example[self.plain.name], np.float32)
        return {**example, self.plain.name: changed_array(array, self._drawn(array.shape[1:], key))}

    def moved(self, example: Mapping[str, Any], key: Sequence[int] | None) -> Movement | None:
        if not self.augment or key is None:
            return None
        rows = example[self.plain.name][0]
        size = (len(rows), len(rows[0]))
        return movement(self._drawn(size, key), size)

    def _drawn(self, size: Sequence[int], key: Sequence[int]) -> list[Change]:
        """What a key draws for an image of a height and a width."""
        return drawn(self.augment, key, (size[1], size[0]), (size[1], size[0]))
