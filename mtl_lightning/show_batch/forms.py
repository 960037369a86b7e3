"""Numbers and pictures in forms that a screen and a page share."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from mtl_lightning.encoders.shown import Mark, Piece

_MOST_VALUES = 60


def numbers(values: np.ndarray, names: Sequence[str] = ()) -> str:
    """Numbers in a line, the first ones of many.

    Args:
        values: Of any shape.
        names: Of each, if there are some.

    >>> numbers(np.array([0.25, 3.0]), ["area", "rooms"])
    'area 0.25, rooms 3'
    >>> numbers(np.zeros((20, 4)))[-38:]
    'numbers of shape 20 by 4, from 0 to 0)'
    """
    flat = values.ravel()[:_MOST_VALUES].tolist()
    said = [f"{value:.4g}" for value in flat]
    if names:
        return ", ".join(f"{name} {text}" for name, text in zip(names, said, strict=False)) + _rest(values)
    return " ".join(said) + _rest(values)


def _rest(values: np.ndarray) -> str:
    if values.size <= _MOST_VALUES and values.ndim == 1:
        return ""
    shape = " by ".join(map(str, values.shape))
    dots = " …" if values.size > _MOST_VALUES else ""
    return f"{dots} ({values.size:,} numbers of shape {shape}, from {values.min():.4g} to {values.max():.4g})"


def bytes_of(pixels: np.ndarray) -> np.ndarray:
    """Pixels from 0 to 255; the least is 0, the largest 255.

    Args:
        pixels: [H, W] or [H, W, 3].
    """
    finite = np.nan_to_num(pixels.astype(np.float64))
    low, high = finite.min(), finite.max()
    return np.asarray((finite - low) / ((high - low) or 1.0) * 255).round().astype(np.uint8)


def smaller(pixels: np.ndarray, width: int) -> np.ndarray:
    """A picture of at most so many columns, each pixel the mean of a square of the larger one.

    Args:
        pixels: [H, W] or [H, W, 3].
        width: In pixels.
    """
    size = -(-pixels.shape[1] // width)
    height, columns = (-(-length // size) * size for length in pixels.shape[:2])
    padded = np.pad(
        pixels,
        [(0, height - pixels.shape[0]), (0, columns - pixels.shape[1]), *[(0, 0)] * (pixels.ndim - 2)],
        mode="edge",
    )
    shape = (height // size, size, columns // size, size, *pixels.shape[2:])
    return np.asarray(padded.reshape(shape).mean((1, 3)))


def columns_of(
    pieces: Sequence[Piece], rows: Sequence[Sequence[str | None]], trained: Sequence[bool]
) -> Iterator[tuple[Piece, list[str], bool]]:
    """Each token with what stands beside it and whether it is trained on; padding in a row becomes one.

    Args:
        pieces: The tokens.
        rows: By task, what stands beside each of them.
        trained: Whether it is trained on.
    """
    numbered = list(enumerate(pieces))
    for _, group in groupby(numbered, lambda each: each[0] if each[1].mark is not Mark.PADDING else -1):
        (place, piece), *more = group
        if more:
            piece = piece._replace(text=f"{piece.text} x{len(more) + 1}")
        yield piece, [row[place] or "" for row in rows], trained[place]
