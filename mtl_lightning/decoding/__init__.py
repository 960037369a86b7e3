"""Decoding: from the arrays that a model computed to predictions, with NumPy alone."""

from mtl_lightning.decoding.answers import AnswerDecoder
from mtl_lightning.decoding.base import Decoder, InputWords
from mtl_lightning.decoding.choices import ChoiceDecoder, RankingDecoder
from mtl_lightning.decoding.from_state import decoder_of
from mtl_lightning.decoding.labels import LabelDecoder, LabelSetDecoder
from mtl_lightning.decoding.numbers import NumberDecoder
from mtl_lightning.decoding.pixels import ClassMapDecoder, DepthDecoder, MaskDecoder, NormalsDecoder
from mtl_lightning.decoding.relations import RelationDecoder
from mtl_lightning.decoding.tags import TagDecoder, WordLabelSetDecoder
from mtl_lightning.decoding.trees import TreeDecoder

__all__ = [
    "AnswerDecoder",
    "ChoiceDecoder",
    "ClassMapDecoder",
    "Decoder",
    "DepthDecoder",
    "InputWords",
    "LabelDecoder",
    "LabelSetDecoder",
    "MaskDecoder",
    "NormalsDecoder",
    "NumberDecoder",
    "RankingDecoder",
    "RelationDecoder",
    "TagDecoder",
    "TreeDecoder",
    "WordLabelSetDecoder",
    "decoder_of",
]
