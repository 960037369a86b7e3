"""How inputs are shown to a person: as tokens, as numbers, or as a picture."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
from torch import Tensor


class Mark(Enum):
    """What a piece of a text is.

    ``TEXT`` begins a word or is one, ``CONTINUED`` goes on with it; ``SPECIAL`` was added by the tokenizer; ``PADDING``
    fills the batch up.
    """

    TEXT = "text"
    CONTINUED = "continued"
    SPECIAL = "special"
    PADDING = "padding"


class Piece(NamedTuple):
    """A token.

    Attributes:
        text: Of the token; a blank before it is written ``▁``.
        mark: What it is.
        positions: Label positions that are read at it: places in the targets [L] of tasks that label tokens or words.
        part: Number of the text that it belongs to, where several stand in one row: those of a pair, or of a pack.
    """

    text: str
    mark: Mark = Mark.TEXT
    positions: tuple[int, ...] = ()
    part: int = 0


class Tokens(NamedTuple):
    """An input that is read token by token.

    Attributes:
        name: Of the input.
        pieces: All of its row, padding included.
    """

    name: str
    pieces: Sequence[Piece]


class Numbers(NamedTuple):
    """An input of numbers.

    Attributes:
        name: Of the input.
        values: Of any shape.
    """

    name: str
    values: np.ndarray


class Picture(NamedTuple):
    """An input that is looked at.

    Attributes:
        name: Of the input.
        pixels: [H, W], or [H, W, 3] for red, green and blue; the least is shown black, the largest white.
    """

    name: str
    pixels: np.ndarray


Shown = Tokens | Numbers | Picture
"""One input of one example."""


class PackedRow(NamedTuple):
    """A row in which a model reads several sequences of a batch, one behind the other.

    Attributes:
        sequences: For each, in their order, the number in the batch of the example that it is of.
        size: Number of tokens of the row, padding included.
        num_padding: Number of tokens of padding.
    """

    sequences: Sequence[int]
    size: int
    num_padding: int


def picture_or_numbers(name: str, values: Tensor) -> Picture | Numbers:
    """An image of one or three channels [C, H, W] as a picture, anything else as numbers.

    >>> import torch
    >>> picture_or_numbers("image", torch.zeros(1, 8, 5)).pixels.shape
    (8, 5)
    """
    array = values.numpy(force=True)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        return Picture(name, array[0] if len(array) == 1 else np.moveaxis(array, 0, -1))
    return Numbers(name, array)
