"""Predictions of each pixel of an image, and what they look like."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mtl_lightning.decoding.base import Array, Arrays, Decoder, array_of
from mtl_lightning.decoding.probabilities import sigmoid

_DIGITS = 4
_SHORTEST = 1e-12


class Drawn(NamedTuple):
    """A prediction as an image.

    Attributes:
        key: Where its numbers are in the prediction.
        pixels: uint8 or uint16 [H, W], or uint8 [H, W, 3] for red, green and blue.
        numbered: Whether they are numbers of classes, which colours tell apart.
    """

    key: str
    pixels: np.ndarray
    numbered: bool = False


class PixelDecoder(Decoder):
    """Makes predictions of ``logits`` [B, C, H, W], which can be drawn."""

    @abstractmethod
    def drawn(self, decoded: dict[str, Any]) -> Drawn:
        """A prediction as an image.

        Args:
            decoded: What ``decode`` made of one example.
        """


@dataclass(frozen=True)
class ClassMapDecoder(PixelDecoder):
    """``classes``: the number of the class of each pixel [H, W].

    Attributes:
        num_classes: How many there are.
    """

    num_classes: int

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        return [{"classes": found.tolist()} for found in array_of(arrays, "logits").argmax(1)]

    def drawn(self, decoded: dict[str, Any]) -> Drawn:
        """Numbers of classes, in colours; of more than 256 classes, in 16 bits of grey."""
        few = self.num_classes <= 256
        return Drawn("classes", np.array(decoded["classes"], np.uint8 if few else np.uint16), numbered=few)


@dataclass(frozen=True)
class DepthDecoder(PixelDecoder):
    """``depth``: the distance of each pixel [H, W].

    Attributes:
        mean: What logits are added to.
    """

    mean: float

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        with np.errstate(over="ignore"):
            depth = array_of(arrays, "logits")[:, 0] + np.float32(self.mean)
        return [{"depth": found} for found in _rounded(depth)]

    def drawn(self, decoded: dict[str, Any]) -> Drawn:
        """Thousandths of the unit (millimetres of metres) in 16 bits of grey, up to 65,535."""
        thousandths = np.clip(np.round(np.array(decoded["depth"]) * 1000), 0, 2**16 - 1)
        return Drawn("depth", thousandths.astype(np.uint16))


@dataclass(frozen=True)
class NormalsDecoder(PixelDecoder):
    """``normals``: the direction at each pixel [H, W, 3], of length 1."""

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        vectors = np.moveaxis(array_of(arrays, "logits"), 1, -1)
        length = np.sqrt(np.square(vectors).sum(-1, keepdims=True))
        return [{"normals": found} for found in _rounded(vectors / np.maximum(length, np.float32(_SHORTEST)))]

    def drawn(self, decoded: dict[str, Any]) -> Drawn:
        """x, y and z as red, green and blue: -1 is 0, 1 is 255."""
        return Drawn("normals", np.round((np.array(decoded["normals"]) + 1) * 127.5).astype(np.uint8))


@dataclass(frozen=True)
class MaskDecoder(PixelDecoder):
    """``probabilities``: of "yes" at each pixel [H, W]."""

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        return [{"probabilities": found} for found in _rounded(sigmoid(array_of(arrays, "logits")[:, 0]))]

    def drawn(self, decoded: dict[str, Any]) -> Drawn:
        """Probabilities in grey: 0 is black, 1 white."""
        return Drawn("probabilities", np.round(np.array(decoded["probabilities"]) * 255).astype(np.uint8))


def _rounded(values: Array) -> list[Any]:
    found: list[Any] = np.round(values.astype(np.float64), _DIGITS).tolist()
    return found
