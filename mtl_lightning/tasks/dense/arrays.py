"""Labels of pixels as arrays."""

from typing import Any

import numpy as np

from mtl_lightning.array_files import from_file
from mtl_lightning.errors import UserError, shown


def label_array(value: Any, channels: int = 1) -> np.ndarray:
    """A label as an array of numbers [H, W]; of several channels [C, H, W].

    Args:
        value: A path of a ``.npy`` file, the bytes of one, or lists of lists: [H, W], [1, H, W] or [H, W, 1]; of
            several channels [H, W, C] or [C, H, W].
        channels: C.

    Raises:
        UserError: For anything else.
    """
    array = from_file(value)
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


def first_place(found: np.ndarray) -> str:
    """Where the first true value of an array [H, W] is, for messages."""
    row, column = np.argwhere(found)[0]
    return f"in row {row + 1}, column {column + 1} of the image"


_EXPECTED = "expected the path of a .npy file, or lists of lists of numbers, found {}"
