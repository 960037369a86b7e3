"""Spans of words as an input, say the entities of a sentence, for heads that label pairs of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtl_lightning.errors import UserError, shown
from mtl_lightning.inputs.padding import padded
from mtl_lightning.raw_labels.spans import Ends, kind_of, span_of

WIDTH = 3
CUT = -1
"""Start and end of a span that the encoder cut off, and of none."""


def encode_spans(value: Any, ends: Ends, num_words: int, kept: int) -> list[list[int]]:
    """The spans of an example.

    Args:
        value: A list of spans; null: there are none.
        ends: What the data's ends mean.
        num_words: Of the example.
        kept: How many of them the encoder kept.

    Returns:
        Start, end (exclusive) and number of the label of each [S, 3]; start and end are -1 where words were cut off.

    Raises:
        UserError: If one is no span of these words.
    """
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise UserError(f"expected a list of spans of words, found {shown(value)}")
    return [_encode(number, item, ends, num_words, kept) for number, item in enumerate(value, 1)]


def collate_spans(examples: Sequence[Any]) -> np.ndarray:
    """Spans of B examples [B, S, 3], filled up with -1."""
    return padded([np.reshape([*spans], (-1, WIDTH)) for spans in examples], CUT)


def _encode(number: int, item: Any, ends: Ends, num_words: int, kept: int) -> list[int]:
    try:
        span = span_of(item, ends)
    except UserError as error:
        raise UserError(f"span {number}: {error}") from error
    if span.end > num_words:
        raise UserError(
            f"span {number} ends at word {span.end}, but there are {num_words} words; positions count from 0"
        )
    place = [span.start, span.end] if span.end <= kept else [CUT, CUT]
    return [*place, kind_of(span.label)]
