"""Decoding: from the arrays that a model computed to predictions, with NumPy alone."""

from mtl_lightning.decoding.base import Arrays, Decoder, InputWords
from mtl_lightning.decoding.labels import LabelDecoder, LabelSetDecoder
from mtl_lightning.decoding.numbers import NumberDecoder
from mtl_lightning.decoding.tags import TagDecoder, WordLabelSetDecoder
from mtl_lightning.decoding.written import decoder_of

__all__ = [
    "Arrays",
    "Decoder",
    "InputWords",
    "LabelDecoder",
    "LabelSetDecoder",
    "NumberDecoder",
    "TagDecoder",
    "WordLabelSetDecoder",
    "decoder_of",
]
