"""Inputs that are numbers already: images and feature vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl_lightning.encoders.input_processor import PlainProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.arrays import ArrayInputs
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
        flip: How often a training example is mirrored, so that its last dimension runs the other way; 0 to 1.
    """

    plain: ArrayInputs
    for_heads = frozenset({SEQUENCES, "choices"})

    def __init__(
        self, name: str, ndim: int, first: int | None = None, setting: str | None = None, flip: float = 0.0
    ) -> None:
        if not 0 <= flip <= 1:
            raise UserError(f"`flip` must be from 0 to 1, found {flip}")
        self.flip = flip
        self.plain = ArrayInputs(name, ndim, first, setting)
        self.inputs = self.plain.inputs

    def signature(self) -> Any:
        return [(self.plain.name,), self.plain.ndim, self.plain.first]

    def mirrored(self, key: Sequence[int]) -> bool:
        return self.flip > 0 and np.random.default_rng(list(key)).random() < self.flip

    def varied(self, example: Mapping[str, Any], key: Sequence[int]) -> Mapping[str, Any]:
        if not self.mirrored(key):
            return example
        return {**example, self.plain.name: np.asarray(example[self.plain.name], np.float32)[..., ::-1]}
