"""Inputs that are numbers already: images and feature vectors."""

from typing import Any

from mtl_lightning.encoders.input_processor import PlainProcessor
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
    """

    plain: ArrayInputs
    for_heads = frozenset({SEQUENCES, "choices"})

    def __init__(self, name: str, ndim: int, first: int | None = None, setting: str | None = None) -> None:
        self.plain = ArrayInputs(name, ndim, first, setting)
        self.inputs = self.plain.inputs

    def signature(self) -> Any:
        return [(self.plain.name,), self.plain.ndim, self.plain.first]
