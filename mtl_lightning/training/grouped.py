"""The groups of examples, such as those of a user, that some metrics compare inside."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.data import Batch
from mtl_lightning.tasks import Task


def groups_in(batch: Batch, data: Any, tasks: Mapping[str, Task], dataset: str, split: str) -> dict[str, Tensor]:
    """By task with a ``group``, the number of the group of each example [B], where its labels are.

    Args:
        batch: Of the data set.
        data: The data module; one without ``tables`` has none.
        tasks: All tasks.
        dataset: Name of the data set.
        split: Which the batch is of.
    """
    columns = {name: (tasks[name].group, target.device) for name, target in batch.targets.items()}
    return {
        name: torch.from_numpy(data.tables.groups(dataset, split, column)[batch.examples]).to(device)
        for name, (column, device) in columns.items()
        if column is not None and hasattr(data, "tables")
    }
