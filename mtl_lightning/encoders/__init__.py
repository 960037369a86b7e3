"""Encoders: inputs → :class:`Representation`, one file each."""

from mtl_lightning.encoders.base import Assets, Encoder, Representation, State
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.convolutional import ConvolutionalEncoder
from mtl_lightning.encoders.images import ImageProcessor, Images
from mtl_lightning.encoders.input_processor import InputProcessor
from mtl_lightning.encoders.modalities import ModalityEncoder
from mtl_lightning.encoders.modality_processor import ModalityProcessor
from mtl_lightning.encoders.perceptron import PerceptronEncoder
from mtl_lightning.encoders.pretrained_sound import PretrainedSoundEncoder
from mtl_lightning.encoders.shown import Mark, Numbers, Picture, Piece, Tokens
from mtl_lightning.encoders.sounds import SoundProcessor, Sounds
from mtl_lightning.encoders.spectrograms import SpectrogramEncoder
from mtl_lightning.encoders.staged import Stage, StagedEncoder
from mtl_lightning.encoders.tables import (
    TableCrossNetwork,
    TableFactorizationMachine,
    TablePerceptron,
    TableTransformer,
)
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.encoders.transformer import TransformerEncoder
from mtl_lightning.encoders.unet import UNetEncoder
from mtl_lightning.encoders.vision import VisionEncoder
from mtl_lightning.inputs.augmentation import (
    Augmentation,
    Change,
    ColorJitter,
    RandomAffine,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
)
from mtl_lightning.inputs.spec_augment import SpecAugment

__all__ = [
    "Assets",
    "Augmentation",
    "Change",
    "ColorJitter",
    "ConvolutionalEncoder",
    "Encoder",
    "ImageProcessor",
    "Images",
    "InputProcessor",
    "Mark",
    "ModalityEncoder",
    "ModalityProcessor",
    "Numbers",
    "PerceptronEncoder",
    "Picture",
    "Piece",
    "PretrainedSoundEncoder",
    "RandomAffine",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Representation",
    "SoundProcessor",
    "Sounds",
    "SpecAugment",
    "SpectrogramEncoder",
    "Stage",
    "StagedEncoder",
    "State",
    "TableCrossNetwork",
    "TableFactorizationMachine",
    "TablePerceptron",
    "TableTransformer",
    "TensorProcessor",
    "TextProcessor",
    "Tokens",
    "TransformerEncoder",
    "UNetEncoder",
    "VisionEncoder",
    "character_tokenizer",
]
