"""Completes tasks by what the training data says, and builds their heads."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from zlib import crc32

import torch
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Task

_warn = rank_zero_only(logging.getLogger(__name__).warning)

TrainingLabels = Callable[[str], Iterable[Any]]
"""Raw training labels of a task."""


def build_heads(tasks: Mapping[str, Task], features: int, training_labels: TrainingLabels | None) -> None:
    """Builds the heads, and says what the user should know of the labels.

    The first weights depend on the seed and the task's name alone.

    Args:
        tasks: The tasks, by name.
        features: Width D of what the heads read.
        training_labels: For tasks whose config leaves something open.

    Raises:
        UserError: If a task lacks label names and there is no training data to take them from.
    """
    for name, task in tasks.items():
        if not task.adapted() and training_labels is None:
            raise UserError(f"model.tasks.{name}: without training data it needs its labels in the config")
        values = [] if task.adapted() or training_labels is None else training_labels(name)
        try:
            if not task.adapted():
                task.adapt(values)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed((torch.initial_seed() + crc32(name.encode())) % 2**63)
                task.build(features)
            for remark in task.remarks():
                _warn(f"task '{name}': {remark}")
        except UserError as error:
            raise UserError(f"model.tasks.{name}: {error}") from error
