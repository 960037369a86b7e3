"""Refuses before any data is read what cannot be trained by a strategy."""

from collections.abc import Iterator
from typing import Any

from lightning.pytorch.callbacks import ModelPruning, StochasticWeightAveraging, WeightAveraging
from torch import nn

from mtl_lightning.errors import UserError
from mtl_lightning.training.fsdp2 import FSDP2Strategy
from mtl_lightning.training.strategies import refuse_split_model
from mtl_lightning.weighting import JacobianWeighting

_CALLBACKS = (ModelPruning, StochasticWeightAveraging, WeightAveraging)
"""What copies the encoder, or changes single weights of it."""


def check_strategy(module: Any) -> None:
    """Refuses strategies that the executor does not run on, and what does not work with a sharded encoder.

    Args:
        module: The MultiTaskModule, about to train.

    Raises:
        UserError: Of the first thing that does not work.
    """
    strategy = module.trainer.strategy
    refuse_split_model(strategy)
    if isinstance(strategy, FSDP2Strategy) and (reason := next(_reasons(module), None)):
        raise UserError(f"trainer.strategy: `fsdp2` does not work with {reason}")


def _reasons(module: Any) -> Iterator[str]:
    if isinstance(module.weighting, JacobianWeighting):
        yield (
            f"{type(module.weighting).__name__}, which needs the tasks' whole gradients on each process; choose a "
            "method that needs their inner products alone, such as UPGrad, or `ddp`"
        )
    if module.weighting.perturbs_parameters:
        yield (
            f"{type(module.weighting).__name__}, which moves whole parameters; choose a method that sees gradients at "
            "the parameters as they are, such as UPGrad, or `ddp`"
        )
    if module.trainer.precision == "16-mixed":
        yield "`trainer.precision: 16-mixed`; use `bf16-mixed`"
    if module._compile_encoder:
        yield "`model.compile_encoder: true`; leave it out"
    if module.sharing.reads_parameters:
        yield f"model.sharing: {type(module.sharing).__name__}, which compares the encoder's parameters; use `ddp`"
    for name, task in module.heads.items():
        if task.uses_encoder:
            yield (
                f"task '{name}' ({type(task).__name__}), which writes with layers of the encoder's; use `ddp`, and an "
                "adapter, `model.encoder.lora`, if memory is short"
            )
    if any(isinstance(each, nn.Embedding | nn.EmbeddingBag) and each.sparse for each in module.encoder.modules()):
        yield "embeddings of the encoder that have sparse gradients; set `sparse=False`"
    for callback in module.trainer.callbacks:
        if isinstance(callback, _CALLBACKS):
            yield f"the callback {type(callback).__name__}; use `ddp`"
