"""A few examples of data sets, to try a model on."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from mtl_lightning.data.batch import Batch
from mtl_lightning.data.collation import StepDataset, moves_of_labels
from mtl_lightning.data.columns import integers, with_prefix
from mtl_lightning.data.module import MultiTaskDataModule
from mtl_lightning.data.sampler import Rows


def first_inputs(data: MultiTaskDataModule, number: int = 1) -> list[Mapping[str, Tensor]]:
    """The encoder's inputs of the first training examples of each data set, each [number, ...].

    Streams, and data sets whose first rows are all bad, are left out.

    Args:
        data: Set up to train.
        number: How many examples of each.
    """
    found: list[Mapping[str, Tensor]] = []
    for name in data.datasets:
        if not data.tables.is_stream(name):
            encoding = data._encoding(name)
            inputs = with_prefix("inputs/", encoding.first(data.tables.of(name, "train"), number))
            if examples := [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]:
                found.append(encoding.processor.collate(examples))
    return found


def labelled_batch(data: MultiTaskDataModule, task: str, split: str, number: int) -> Batch | None:
    """The first examples of a split that have a label of a task, of the first data set that has such; null: none has.

    Args:
        data: Set up.
        task: Name of the task.
        split: Name of the split, which is no stream.
        number: Of examples, at most.
    """
    model = data._trainer.lightning_module
    missing = {name: head.missing for name, head in model.tasks.items()}
    for name in (name for name, source in data.datasets.items() if task in source.labels):
        if split in data.tables[name]:
            table = data._encoded(split, [name])[name]
            (rows,) = np.nonzero(integers(table, [f"counts/{task}"])[f"counts/{task}"])
            if len(rows):
                plan = {name: Rows(rows[:number].tolist(), {})}
                moves = moves_of_labels(model.tasks)
                return StepDataset({name: table}, model.encoder.processor, missing, moves)[plan][name]
    return None
