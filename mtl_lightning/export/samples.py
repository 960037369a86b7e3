"""Made-up raw inputs of any kind and size, to try an exported model on."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.arrays import ArrayInputs
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.images import ImageInputs
from mtl_lightning.inputs.modalities import ModalityInputs
from mtl_lightning.inputs.recordings import Recordings
from mtl_lightning.inputs.tables import TableInputs
from mtl_lightning.inputs.text_inputs import TextInputs
from mtl_lightning.training.module import MultiTaskModule

_WORDS = ("some", "words", "that", "follow", "each", "other", "3", ",", "unbelievably")
LONGEST = 512
"""Words of the longest text that is tried: a longer one takes much memory, and tells nothing more."""

_QUESTION = 4
"""Words of a question, beside what it is of."""

_SIDE = 28
"""Pixels of the smallest image; larger ones differ in height and width, and in what is left where they are halved."""


def samples(inputs: Inputs, names: Collection[str], sizes: Sequence[int]) -> dict[str, list[Any]]:
    """Raw inputs by name.

    Args:
        inputs: What is to read them.
        names: Of inputs that are given together.
        sizes: How many words each example has, at least one; of images, what their size follows from.

    Raises:
        UserError: If nothing is known of such inputs.
    """
    if isinstance(inputs, ModalityInputs):
        parts = inputs.names.of_parts(dict.fromkeys(names))
        found = {stem: samples(inputs.parts[stem], own, sizes) for stem, own in parts.items()}
        return {
            name: found[stem][own] for name, (stem, own) in inputs.names.origin(names).items() if own in found[stem]
        }
    if isinstance(inputs, ArrayInputs):
        sides = (_SIDE + max(sizes) % modulus for modulus in (9, 11))
        shape = (inputs.first or _SIDE, *islice(sides, inputs.ndim - 1))
        made = np.random.default_rng(0).normal(size=(len(sizes), 2, *shape)).astype(np.float32)
        return {name: [each if name == "choices" else each[0] for each in made.tolist()] for name in names}
    if isinstance(inputs, TableInputs | ImageInputs | Recordings):
        return inputs.samples(len(sizes))
    if not isinstance(inputs, TextInputs) or not set(names) <= {*_MAKERS, "spans"}:
        raise UserError(f"a model that reads {', '.join(names)} cannot be exported as onnx")
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


def tensors_of(model: MultiTaskModule, raw: Mapping[str, Sequence[Any]]) -> dict[str, Tensor]:
    """Raw inputs as the encoder reads them, each [B, ...]."""
    processor = model.encoder.processor
    encoded = processor.encode(raw)
    return processor.collate(
        [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
    )


_MAKERS: Mapping[str, Callable[[int], Any]] = {
    "text": _text,
    "text_pair": _text,
    "tokens": _words,
    "choices": lambda size: [_text(size), _text(max(size // 2, 1)), "other"],
    "texts": lambda size: [_text(size), _text(max(size // 2, 1))],
    "context": _text,
}
