"""The data module: data sets in, step batches out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from mtl_lightning.data.batch import StepBatch
from mtl_lightning.data.collation import StepDataset
from mtl_lightning.data.encoding import Encoding, check_columns
from mtl_lightning.data.sampler import SequentialSampler, StepSampler
from mtl_lightning.data.schedules import RoundRobin, Schedule
from mtl_lightning.data.source import DataSource
from mtl_lightning.errors import UserError, did_you_mean


class MultiTaskDataModule(LightningDataModule):
    """Interleaves several data sets in training and evaluates them one after another.

    The encoder's processor and the tasks are those of the model that the trainer runs.

    Args:
        datasets: The data sets, by name.
        batch_size: Examples a step and process: one number, or one for each data set.
        eval_batch_size: The same for evaluation and prediction; null: twice ``batch_size``.
        schedule: Which data sets appear in which step, and how long an epoch is; null: :class:`RoundRobin`.
        num_workers: Processes that prepare batches; 0: the training process does.
        seed: Of shuffling.
    """

    def __init__(
        self,
        datasets: dict[str, DataSource],
        batch_size: int | dict[str, int] = 32,
        eval_batch_size: int | dict[str, int] | None = None,
        schedule: Schedule | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not datasets:
            raise UserError("data.datasets is empty; name at least one data set")
        self.datasets = datasets
        self.batch_sizes = _per_dataset("batch_size", batch_size, datasets)
        doubled = {name: 2 * size for name, size in self.batch_sizes.items()}
        self.eval_batch_sizes = _per_dataset(
            "eval_batch_size", doubled if eval_batch_size is None else eval_batch_size, datasets
        )
        self.schedule = schedule or RoundRobin()
        if num_workers < 0:
            raise UserError(f"data.num_workers must be at least 0, found {num_workers}")
        self.num_workers = num_workers
        self.seed = seed
        self.predict_source: tuple[DataSource, Dataset] | None = None
        self._tables: dict[str, dict[str, Dataset]] = {}

    def setup(self, stage: str) -> None:
        """Loads the raw tables."""
        if self._trainer.overfit_batches:
            raise UserError("trainer.overfit_batches picks from a plain sampler; use trainer.limit_train_batches")
        if stage != "predict" and not self._tables:
            self._tables = {name: _load(name, source) for name, source in self.datasets.items()}
        self._check_tasks()

    def training_labels(self, task: str) -> list[Any]:
        """Raw labels of a task in the training splits of all data sets that label it.

        Raises:
            UserError: If no data set labels it, or one that does has no training split.
        """
        values: list[Any] = []
        for name, source in self.datasets.items():
            if task in source.labels:
                table = self._table(name, "train")
                check_columns(f"data.datasets.{name}.labels", {task: source.labels[task]}, table)
                values += table[source.labels[task]]
        return values

    def train_dataloader(self) -> DataLoader[StepBatch]:
        """Step batches in the order of the schedule."""
        tables = self._encoded("train")
        sampler = StepSampler(
            lengths={name: _integers(table, "length") for name, table in tables.items()},
            counts={name: _counts(table) for name, table in tables.items()},
            batch_sizes=self.batch_sizes,
            schedule=self.schedule,
            seed=self.seed,
            rank=self._trainer.global_rank,
            num_replicas=self._trainer.world_size,
        )
        if empty := [name for name, number in sampler.num_batches.items() if number == 0]:
            raise UserError(f"data set '{empty[0]}' has fewer training examples than there are processes")
        return self._loader(tables, sampler)

    def val_dataloader(self) -> DataLoader[StepBatch]:
        """Each validation example once."""
        return self._evaluation(self._encoded("val"))

    def test_dataloader(self) -> DataLoader[StepBatch]:
        """Each test example once."""
        return self._evaluation(self._encoded("test"))

    def predict_dataloader(self) -> DataLoader[StepBatch]:
        """Each example of ``predict_source`` once."""
        if self.predict_source is None:
            raise UserError("nothing to predict: give `--input FILE`")
        source, table = self.predict_source
        encoding = Encoding("input", source, self._trainer.lightning_module.encoder.processor, {})
        encoded = encoding(table, "predict", labelled=False)
        sampler = SequentialSampler({"input": np.zeros(len(encoded))}, {"input": max(self.eval_batch_sizes.values())})
        return self._loader({"input": encoded}, sampler)

    @property
    def _trainer(self) -> Any:
        if self.trainer is None:
            raise RuntimeError("the data module works inside a Trainer: trainer.fit(model, datamodule=data)")
        return self.trainer

    def _encoded(self, split: str) -> dict[str, Dataset]:
        model = self._trainer.lightning_module
        encoded = {}
        for name, source in self.datasets.items():
            tasks = {task: model.tasks[task] for task in model.tasks if task in source.labels}
            encoding = Encoding(name, source, model.encoder.processor, tasks)
            encoded[name] = encoding(self._table(name, split), split)
        return encoded

    def _table(self, name: str, split: str) -> Dataset:
        tables = self._tables[name]
        if split not in tables:
            raise UserError(f"data.datasets.{name} has no split '{split}'; it has {', '.join(tables)}")
        if len(tables[split]) == 0:
            raise UserError(f"data.datasets.{name}: split '{split}' is empty")
        return tables[split]

    def _evaluation(self, tables: Mapping[str, Dataset]) -> DataLoader[StepBatch]:
        lengths = {name: _integers(table, "length") for name, table in tables.items()}
        sampler = SequentialSampler(lengths, self.eval_batch_sizes, self._trainer.global_rank, self._trainer.world_size)
        return self._loader(tables, sampler)

    def _loader(self, tables: Mapping[str, Dataset], sampler: Any) -> DataLoader[StepBatch]:
        model = self._trainer.lightning_module
        missing = {name: task.missing for name, task in model.tasks.items()}
        return DataLoader(
            StepDataset(tables, model.encoder.processor, missing),
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=model.device.type != "cpu",
        )

    def _check_tasks(self) -> None:
        tasks = list(self._trainer.lightning_module.tasks)
        labelled = {task for source in self.datasets.values() for task in source.labels}
        for name, source in self.datasets.items():
            for task in source.labels:
                if task not in tasks:
                    hint = did_you_mean(task, tasks)
                    raise UserError(f"data.datasets.{name}.labels: unknown task '{task}'; {hint}")
        if unlabelled := [task for task in tasks if task not in labelled]:
            raise UserError(f"model.tasks.{unlabelled[0]}: no data set labels it; add it to a data set's `labels`")


def _load(name: str, source: DataSource) -> dict[str, Dataset]:
    try:
        return source.load()
    except UserError as error:
        raise UserError(f"data.datasets.{name}: {error}") from error


def _counts(table: Dataset) -> dict[str, np.ndarray]:
    prefix = "counts/"
    return {
        column.removeprefix(prefix): _integers(table, column)
        for column in table.column_names
        if column.startswith(prefix)
    }


def _integers(table: Dataset, column: str) -> np.ndarray:
    return np.asarray(table.with_format("numpy")[column][:], dtype=np.int32)


def _per_dataset(
    parameter: str, sizes: int | Mapping[str, int], datasets: Sequence[str] | Mapping[str, Any]
) -> dict[str, int]:
    if isinstance(sizes, int):
        sizes = dict.fromkeys(datasets, sizes)
    for name, size in sizes.items():
        if name not in datasets:
            raise UserError(f"data.{parameter} names the unknown data set '{name}'; {did_you_mean(name, datasets)}")
        if size < 1:
            raise UserError(f"data.{parameter} must be at least 1, found {size}")
    if missing := [name for name in datasets if name not in sizes]:
        raise UserError(f"data.{parameter} misses the data set '{missing[0]}'")
    return dict(sizes)
