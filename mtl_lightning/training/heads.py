"""Completes tasks by what the training data says, and builds their heads."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import torch
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.chains import Chain
from mtl_lightning.encoders import Encoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import Sharing
from mtl_lightning.tasks import Task

_warn = rank_zero_only(logging.getLogger(__name__).warning)

TrainingLabels = Callable[[str], Iterable[Any]]
"""Raw training labels of a task."""


def build_heads(tasks: Mapping[str, Task], features: int, training_labels: TrainingLabels | None, chain: Chain) -> None:
    """Builds the heads and the links between them, and says what the user should know of the labels.

    The first weights depend on the seed and the task's name alone.

    Args:
        tasks: The tasks, by name.
        features: Width D of what the heads read.
        training_labels: For tasks whose config leaves something open.
        chain: How tasks read others.

    Raises:
        UserError: If a task lacks label names and there is no training data to take them from, or if tasks are linked
            that do not fit.
    """
    for name in chain.order:
        with _named(f"model.tasks.{name}"):
            tasks[name].check_predicts()
            _adapt(name, tasks[name], training_labels)
        width = features + chain.build(name, tasks)
        with _named(f"model.tasks.{name}"), torch.random.fork_rng(devices=[]):
            torch.manual_seed((torch.initial_seed() + crc32(name.encode())) % 2**63)
            tasks[name].build(width)
        if name not in chain.readers:
            tasks[name].head = None
        for remark in tasks[name].remarks():
            _warn(f"task '{name}': {remark}")


def meet(tasks: Mapping[str, Task], encoder: Encoder) -> None:
    """Lets each task take note of the encoder.

    Raises:
        UserError: If one cannot read it.
    """
    for name, task in tasks.items():
        with _named(f"model.tasks.{name}"):
            task.meet(encoder)


def check_encoder_alone(tasks: Mapping[str, Task], sharing: Sharing) -> None:
    """Raises :class:`UserError` if a task computes with the encoder as it is, where its head reads something else."""
    for name, task in tasks.items():
        if task.uses_encoder and not sharing.is_plain:
            raise UserError(
                f"model.sharing: task '{name}' writes with the encoder as it is; choose HardSharing, and "
                "`model.encoder.lora` if you want an adapter"
            )


def check_maps(tasks: Mapping[str, Task], sharing: Sharing) -> None:
    """Raises :class:`UserError` if a task reads feature maps, and the sharing works on other features alone."""
    for name, task in tasks.items():
        if task.level == "maps" and not sharing.carries_maps:
            raise UserError(
                f"model.sharing: task '{name}' reads feature maps, but {type(sharing).__name__}, as it is set, changes "
                "pooled features alone; let it work on stages (such as `expert_stages: 1`), or choose HardSharing, "
                "HybridSharing, CrossStitch or MTAN"
            )


def _adapt(name: str, task: Task, training_labels: TrainingLabels | None) -> None:
    if task.adapted():
        return
    if training_labels is None:
        raise UserError("without training data it needs its labels in the config")
    task.adapt(training_labels(name))


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Says where in the configuration an error is."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
