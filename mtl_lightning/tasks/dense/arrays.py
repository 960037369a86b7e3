"""Labels of pixels as arrays."""

from pathlib import Path
from typing import Any

import numpy as np

from mtl_lightning.array_files import MAGIC, from_file
from mtl_lightning.errors import UserError, shown
from mtl_lightning.inputs.image_files import ARRAYS, LABEL_ENDINGS, label_pixels
from mtl_lightning.named_files import check_may_open


def label_array(value: Any, channels: int = 1) -> np.ndarray:
    """A label as an array of numbers [H, W]; of several channels [C, H, W].

    Args:
        value: A path of a ``.npy`` file or an image, the bytes of one, or lists of lists: [H, W], [1, H, W] or [H, W,
            1]; of several channels [H, W, C] or [C, H, W]. Of an image, it is the numbers in it: of a palette, those of
            colours; three channels of it are from -1 (0) to 1 (255), and black is NaN.
        channels: C.

    Raises:
        UserError: For anything else.
    """
    array = from_file(value)
    if array is None and is_image(value):
        array = _of_image(value, channels)
    if array is None:
        try:
            array = np.asarray(value, dtype=np.float64 if isinstance(value, list) else None)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(_EXPECTED.format(shown(value))) from error
    if array.dtype.kind not in "biuf":
        raise UserError(_EXPECTED.format(shown(value)))
    shape = array.shape
    if channels == 1 and len(shape) == 3 and 1 in (shape[0], shape[2]):
        array = array[0] if shape[0] == 1 else array[..., 0]
    elif channels > 1 and len(shape) == 3 and shape[2] == channels:
        array = np.moveaxis(array, -1, 0)
    wanted = 2 if channels == 1 else 3
    if array.ndim != wanted or array.size == 0 or (channels > 1 and len(array) != channels):
        named = "[height, width]" if channels == 1 else f"[height, width, {channels}]"
        raise UserError(f"expected an array {named}, found one of shape {list(shape)}")
    return array


def is_image(value: Any) -> bool:
    """Whether a label is the path or the bytes of an image, not those of an array."""
    if isinstance(value, bytes):
        return not value.startswith(MAGIC)
    return isinstance(value, str) and value.lower().endswith(LABEL_ENDINGS) and not value.lower().endswith(ARRAYS)


def _of_image(value: str | bytes, channels: int) -> np.ndarray:
    if isinstance(value, str):
        check_may_open(value)
    array = label_pixels(value if isinstance(value, bytes) else Path(value))
    if (array.shape[2:] or (1,)) != (channels,):
        found = "3 channels" if array.ndim == 3 else "1 channel"
        raise UserError(f"the image has {found}, and the label {channels}; save it as {_KINDS[channels]}")
    if channels == 1:
        return array
    numbers = array.astype(np.float32) / np.float32(127.5) - 1
    return np.where(array.any(-1, keepdims=True), numbers, np.float32(np.nan))


def grey(values: np.ndarray) -> np.ndarray:
    """Colours [H, W, 3] of numbers [H, W] from 0, black, to 1, a light grey: white is kept for what has no label."""
    return np.repeat(np.clip(values, 0, 1)[..., None] * _LIGHT, 3, -1)


def first_place(found: np.ndarray) -> str:
    """Where the first true value of an array [H, W] is, for messages."""
    row, column = np.argwhere(found)[0]
    return f"in row {row + 1}, column {column + 1} of the image"


_LIGHT = 230
_KINDS = {1: "a PNG of grey or of a palette", 3: "a PNG of red, green and blue"}
_EXPECTED = "expected the path of a .npy file or a PNG, or lists of lists of numbers, found {}"
