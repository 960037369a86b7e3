"""Encoders: inputs → :class:`Representation`, one file each."""

from mtl_lightning.encoders.base import Assets, Encoder, InputProcessor, Representation, Stage, StagedEncoder, State
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.convolutional import ConvolutionalEncoder
from mtl_lightning.encoders.perceptron import PerceptronEncoder
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.encoders.transformer import TransformerEncoder

__all__ = [
    "Assets",
    "ConvolutionalEncoder",
    "Encoder",
    "InputProcessor",
    "PerceptronEncoder",
    "Representation",
    "Stage",
    "StagedEncoder",
    "State",
    "TensorProcessor",
    "TextProcessor",
    "TransformerEncoder",
    "character_tokenizer",
]
