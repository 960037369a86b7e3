"""Numbers as data files hold them."""

import json
import re
from typing import Any

import numpy as np

from mtl_lightning.array_files import from_file
from mtl_lightning.errors import UserError, hint_of_comma, shown

_WORDS = {"true": 1.0, "false": 0.0}
_BETWEEN = re.compile(r"[\s,]+")


def numbers(
    value: Any,
    dtype: type[np.floating[Any]] = np.float32,
    wanted: str = "numbers in lists of one length",
    cure: str = "",
) -> np.ndarray:
    """A number, or nested lists of numbers, as an array; any of them may be a text.

    Args:
        value: A path of a ``.npy`` file, or the bytes of one, is its array. Another text holds one number, several
            apart by blanks, or a list in brackets, as JSON or NumPy writes it.
        dtype: Of the array.
        wanted: What is expected, for messages.
        cure: What mends another value, for messages.

    Raises:
        UserError: If something else stands there, or a number that is not finite.

    >>> numbers("[0.5, 1]").tolist(), numbers("1 2").tolist(), numbers("3").tolist()
    ([0.5, 1.0], [1.0, 2.0], 3.0)
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise UserError(f"must be numbers, found none: {value!r}")
    found = from_file(value)
    try:
        with np.errstate(over="ignore"):  # it becomes infinite
            read = _read(value) if isinstance(value, str) and found is None else value
            array = np.asarray(read if found is None else found, dtype=dtype)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"must be {wanted}, found {shown(value)}{hint_of_comma(value) or cure}") from error
    if not np.isfinite(array).all():
        raise UserError(f"must be finite numbers, found {array[~np.isfinite(array)][0]}")
    return array


def _read(text: str) -> Any:
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        found = [_number(word) for word in text.split()]
        return found if len(found) > 1 else found[0]
    try:
        return json.loads(text)
    except ValueError:
        return [_number(word) for word in _BETWEEN.split(text[1:-1]) if word]


def _number(word: str) -> float:
    if "_" in word:  # Python's own way to group digits
        raise ValueError(word)
    return _WORDS[word.lower()] if word.lower() in _WORDS else float(word)
