"""Completes encoders by what the training data says of their inputs."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from mtl_lightning.checkpoints.io import CHECKPOINT_KEY, AtomicCheckpointIO
from mtl_lightning.encoders import Encoder
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import CountedRows

TrainingInputs = Callable[[], Iterable[CountedRows]]
"""Raw inputs of the training data, some thousand rows at a time."""


def complete_encoder(
    encoder: Encoder, module: nn.Module, training_inputs: TrainingInputs | None, start: str | Path | None = None
) -> None:
    """Has an encoder learn what it must know of its inputs, and makes its parameters and those of its copies.

    A model that starts from a trained one, or goes on, knows what that one knew: parameters keep their meaning.

    All copies start from the same parameters, which depend on the seed alone.

    Args:
        encoder: The model's.
        module: What holds it, and copies of it.
        training_inputs: For an encoder that learns something.
        start: The checkpoint that the model starts from, or goes on from.

    Raises:
        UserError: If it must learn something, and there is no training data.
    """
    if encoder.is_complete:
        return
    saved = {} if start is None else AtomicCheckpointIO().load_checkpoint(start)[CHECKPOINT_KEY]["assets"]["files"]
    if not encoder.take_learnt(saved):
        if training_inputs is None:
            raise UserError(
                f"model.encoder: {type(encoder).__name__} learns what it reads from training data; give some"
            )
        encoder.learn(training_inputs())
    seed = torch.initial_seed() % 2**63
    for each in module.modules():
        if isinstance(each, Encoder) and each.processor is encoder.processor and not each.is_complete:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                each.complete()
