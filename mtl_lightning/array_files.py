"""Arrays as NumPy writes them: ``.npy`` files, and the same bytes."""

import io
from typing import Any

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.named_files import check_may_open

MAGIC = b"\x93NUMPY"
"""How such bytes begin."""


def from_file(value: Any) -> np.ndarray | None:
    """The array of a ``.npy`` file, named by its path, or given by its bytes; None: the value is neither.

    Raises:
        UserError: If the file is not there, holds no array of numbers, or may not be opened (:mod:`.named_files`).
    """
    if isinstance(value, str) and value.lower().endswith(".npy"):
        check_may_open(value)
        return _loaded(value, f"file {value}")
    if isinstance(value, bytes) and value.startswith(MAGIC):
        return unpacked(value)
    return None


def packed(array: np.ndarray) -> bytes:
    """An array as the bytes of a ``.npy`` file: a table holds and reads them faster than lists of lists.

    >>> unpacked(packed(np.array([[1, 2]], np.uint8))).tolist()
    [[1, 2]]
    """
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def unpacked(content: bytes) -> np.ndarray:
    """The array of which these are the bytes."""
    return _loaded(io.BytesIO(content), "array")


def _loaded(file: Any, what: str) -> np.ndarray:
    try:
        array = np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"{what} is not there; correct the path, or leave its row out") from error
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{what} cannot be read: {error}; write it with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise UserError(f"{what} holds no array of numbers; write one with numpy.save")
    return array
