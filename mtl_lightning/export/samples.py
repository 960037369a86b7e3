"""Made-up raw inputs of any kind and size, to try an exported model on."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.modalities import ModalityInputs
from mtl_lightning.inputs.samples import made_up
from mtl_lightning.training.module import MultiTaskModule

LONGEST = 512
"""Words of the longest text that is tried: a longer one takes much memory, and tells nothing more."""


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
    made = made_up(inputs, names, sizes)
    if made is None:
        raise UserError(f"a model that reads {', '.join(names)} cannot be exported as onnx")
    return made


def tensors_of(model: MultiTaskModule, raw: Mapping[str, Sequence[Any]]) -> dict[str, Tensor]:
    """Raw inputs as the encoder reads them, each [B, ...]."""
    processor = model.encoder.processor
    encoded = processor.encode(raw)
    return processor.collate(
        [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
    )
