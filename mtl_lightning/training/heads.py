"""Completes tasks by what the training data says, and builds their heads."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from zlib import crc32

import torch

from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Task

TrainingLabels = Callable[[str], Iterable[Any]]
"""Raw training labels of a task."""


def build_heads(tasks: Mapping[str, Task], features: int, training_labels: TrainingLabels | None) -> None:
    """Builds the heads. Their first weights depend on the seed and the task's name alone.

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
        except UserError as error:
            raise UserError(f"model.tasks.{name}: {error}") from error
