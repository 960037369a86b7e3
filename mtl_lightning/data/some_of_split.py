"""Some examples of a split, to judge a model on."""

from collections.abc import Iterator

import numpy as np

from mtl_lightning.data.batch import StepBatch
from mtl_lightning.data.collation import StepDataset
from mtl_lightning.data.columns import lengths_of
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.evaluation_sampler import SequentialSampler
from mtl_lightning.data.findings import without_notes
from mtl_lightning.data.module import MultiTaskDataModule


class SomeOfSplit:
    """Batches of examples of a split, evenly over it; the same whenever they are read.

    Args:
        data: Set up to evaluate.
        split: Its name; data sets without it are left out.
        most: Examples of each data set.

    Attributes:
        sizes: Number of examples by data set.
    """

    def __init__(self, data: MultiTaskDataModule, split: str, most: int) -> None:
        model = data._trainer.lightning_module
        tables = {}
        for name in data.datasets:
            if split in data.tables[name]:
                table = data.tables.of(name, split)
                rows = np.linspace(0, len(table) - 1, min(most, len(table))).round().astype(np.int64)
                encoding: Encoding = data._encoding(name)
                tables[name] = without_notes(encoding(table.select(rows), split))
        missing = {name: task.missing for name, task in model.tasks.items()}
        self.sizes = {name: len(table) for name, table in tables.items()}
        self._dataset = StepDataset(tables, model.encoder.processor, missing)
        self._plans = SequentialSampler(lengths_of(tables), data.eval_batch_sizes)

    def __iter__(self) -> Iterator[StepBatch]:
        for plan in self._plans:
            yield self._dataset[plan]
