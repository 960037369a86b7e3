"""Made-up raw inputs of one kind, of any size."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np

from mtl_lightning.inputs.arrays import ArrayInputs
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.images import ImageInputs
from mtl_lightning.inputs.recordings import Recordings
from mtl_lightning.inputs.tables import TableInputs
from mtl_lightning.inputs.text_inputs import TextInputs

_WORDS = ("some", "words", "that", "follow", "each", "other", "3", ",", "unbelievably")

_QUESTION = 4
"""Words of a question, beside what it is of."""

_SIDE = 28
"""Pixels of the smallest image; larger ones differ in height and width, and in what is left where they are halved."""


def made_up(inputs: Inputs, names: Collection[str], sizes: Sequence[int]) -> dict[str, list[Any]] | None:
    """Raw inputs by name; null: nothing is known of such inputs.

    Args:
        inputs: What is to read them, of one kind.
        names: Of inputs that are given together.
        sizes: How many words each example has, at least one; of images, what their size follows from.
    """
    if isinstance(inputs, ArrayInputs):
        sides = (_SIDE + max(sizes) % modulus for modulus in (9, 11))
        shape = (inputs.first or _SIDE, *islice(sides, inputs.ndim - 1))
        made = np.random.default_rng(0).normal(size=(len(sizes), 2, *shape)).astype(np.float32)
        return {name: [each if name == "choices" else each[0] for each in made.tolist()] for name in names}
    if isinstance(inputs, TableInputs | ImageInputs | Recordings):
        return inputs.samples(len(sizes))
    if not isinstance(inputs, TextInputs) or not set(names) <= {*_MAKERS, "spans"}:
        return None
    question = {"context", "choices"}.intersection(names)
    makers: dict[str, Callable[[int], Any]] = {
        **_MAKERS,
        "spans": partial(_spans, inclusive=inputs.word_lists.spans == "inclusive"),
    }
    return {
        name: [makers[name](min(size, _QUESTION) if question and name == "text" else size) for size in sizes]
        for name in names
    }


def _words(size: int) -> list[str]:
    return list(islice(cycle(_WORDS), size))


def _text(size: int) -> str:
    return " ".join(_words(size))


def _spans(size: int, inclusive: bool) -> list[list[int]]:
    """The first word and, if it is another one, the last."""
    return [[first, first + 1 - inclusive] for first in sorted({0, size - 1})]


_MAKERS: Mapping[str, Callable[[int], Any]] = {
    "text": _text,
    "text_pair": _text,
    "tokens": _words,
    "choices": lambda size: [_text(size), _text(max(size // 2, 1)), "other"],
    "texts": lambda size: [_text(size), _text(max(size // 2, 1))],
    "context": _text,
}
