"""Where the pixels of an image went: labels of pixels follow by it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.augmentation import Augmentation, Change
from mtl_lightning.inputs.image_files import pillow


@dataclass(frozen=True)
class Movement:
    """Where the pixels of an image went.

    Args:
        source: Number of the old pixel that each new one takes, row by row, int32 [h, w]; -1: it lies outside.
        size: Height H and width W of the old image.
        zoom: How many times larger things are than without a random change.
        mirrored: Whether left and right changed places, and whether top and bottom did.
    """

    source: np.ndarray
    size: tuple[int, int]
    zoom: float = 1.0
    mirrored: tuple[bool, bool] = (False, False)

    def __call__(self, label: np.ndarray, missing: float) -> np.ndarray:
        """Labels of the new pixels [..., h, w].

        Args:
            label: Of the old ones [..., H, W]; of another size, it lies stretched over the image.
            missing: What stands outside.
        """
        found = stretched(label, self.size).reshape(*label.shape[:-2], -1)[..., np.maximum(self.source, 0)]
        return np.where(self.source < 0, label.dtype.type(missing), found)


def stretched(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An array [..., H, W] in another size: each new pixel takes the one in which its middle lies.

    >>> stretched(np.array([[1, 2]]), (2, 4)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    if label.shape[-2:] == size:
        return label
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, label.shape[-2:], strict=True)
    )
    return label[..., rows[:, None], columns]


def drawn(
    augment: Sequence[Augmentation], key: Sequence[int], size: tuple[int, int], target: tuple[int, int]
) -> list[Change]:
    """What a key draws for an image; see :class:`.Augmentation`.

    Args:
        augment: In this order.
        key: Of random numbers.
        size: Width and height of the image.
        target: Width and height of what the model reads.
    """
    draw, changes = np.random.default_rng(list(key)), []
    for augmentation in augment:
        if (change := augmentation.drawn(draw, size, target)) is not None:
            changes.append(change)
            size = change.size or size
    return changes


def movement(changes: Sequence[Change], size: tuple[int, int], fit: Change | None = None) -> Movement | None:
    """Where changes move the pixels of an image; null: they stay where they are.

    Args:
        changes: In this order.
        size: Height and width of the image.
        fit: What is made of any image afterwards; its zoom is that of the changed image, by that of an unchanged one.
    """
    moves = [change for change in (*changes, *([] if fit is None else [fit])) if change.moves]
    if not moves:
        return None
    image = pillow().fromarray(np.arange(size[0] * size[1], dtype=np.int32).reshape(size))
    for change in moves:
        image = change(image, True)
    mirrored = tuple(sum(change.mirrored[axis] for change in moves) % 2 == 1 for axis in range(2))
    return Movement(np.asarray(image), size, math.prod(change.zoom for change in moves), (mirrored[0], mirrored[1]))


def changed_array(array: np.ndarray, changes: Sequence[Change]) -> np.ndarray:
    """An image of numbers [C, H, W], changed.

    Raises:
        UserError: If colours change, and it has none: other than 1 or 3 channels, or numbers beyond 0 to 1.
    """
    for change in changes:
        array = _moved(array, change) if change.moves else _recoloured(array, change)
    return array


def _moved(array: np.ndarray, change: Change) -> np.ndarray:
    planes = [pillow().fromarray(np.ascontiguousarray(plane, np.float32)) for plane in array]
    return np.stack([np.asarray(change(plane)) for plane in planes])


def _recoloured(array: np.ndarray, change: Change) -> np.ndarray:
    low, high = array.min(), array.max()
    if len(array) not in (1, 3) or low < 0 or high > 1:
        raise UserError(
            f"`augment` changes colours, which are 1 or 3 channels from 0 to 1; an image has {len(array)}, from "
            f"{low:g} to {high:g}: scale images, or leave the change out"
        )
    pixels = np.moveaxis(np.round(array * 255).astype(np.uint8), 0, -1)
    found = np.asarray(change(pillow().fromarray(pixels[..., 0] if len(array) == 1 else pixels)))
    return np.moveaxis(np.atleast_3d(found), -1, 0).astype(np.float32) / np.float32(255)
