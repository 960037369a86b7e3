"""Predictions of words beside the words."""

from collections.abc import Sequence
from typing import Any

from mtl_lightning.decoding.base import InputWords


def beside_words(
    decoded: dict[str, Any], words: InputWords, keys: Sequence[str] = ("labels", "probabilities")
) -> dict[str, Any]:
    """A prediction of words beside its input: what it lists for each word is null for those that were cut off.

    Where the input is a text, ``words`` and their ``offsets`` in it follow.

    Args:
        decoded: What ``decode`` made of one example.
        words: All words of the input.
        keys: Names of these lists.
    """
    placed = decoded | {key: decoded[key] + [None] * (len(words.words) - len(decoded[key])) for key in keys}
    if words.text is not None:
        placed |= {"words": list(words.words), "offsets": [list(offset) for offset in words.offsets]}
    return placed
