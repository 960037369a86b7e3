"""The data module: data sets in, step batches out."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from datasets import Dataset
from jsonargparse import lazy_instance
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from mtl_lightning.data.batch import StepBatch
from mtl_lightning.data.batch_sizes import BatchSizes
from mtl_lightning.data.beside import beside, check_beside
from mtl_lightning.data.collation import StepDataset, moves_of_labels
from mtl_lightning.data.columns import lengths_of, numbers_of
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.episodes import Episodes
from mtl_lightning.data.episodes.building import Drawn, check_episodes, drawn_from, fixed, sizes_in_evaluation
from mtl_lightning.data.evaluation_sampler import SequentialSampler
from mtl_lightning.data.examples import ExampleEncoder
from mtl_lightning.data.findings import report, report_inputs, without_notes
from mtl_lightning.data.groups import check_groups
from mtl_lightning.data.labelling import check_labelled, labelling
from mtl_lightning.data.labels import check_label_maps, counted_inputs, understood_labels
from mtl_lightning.data.leakage import warn_of_leakage
from mtl_lightning.data.loader import checked_num_workers, step_loader
from mtl_lightning.data.progress import Progress
from mtl_lightning.data.raw_tables import RawTables
from mtl_lightning.data.sampler import StepSampler
from mtl_lightning.data.schedules import RoundRobin, Schedule
from mtl_lightning.data.sources.base import DataSource, check_names
from mtl_lightning.data.sources.streamed import check_streams
from mtl_lightning.data.streamed_inputs import streamed_inputs
from mtl_lightning.data.streams.passes import StreamPasses
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import CountedColumn

_LOG = logging.getLogger(__name__)
_ROUND_ROBIN = lazy_instance(RoundRobin)


class MultiTaskDataModule(LightningDataModule):
    """Interleaves several data sets in training and evaluates them one after another.

    The encoder's processor and the tasks are those of the model that the trainer runs.

    Args:
        datasets: The data sets, by name.
        batch_size: Examples a step and process: one number, or one for each data set.
        eval_batch_size: The same for evaluation and prediction; null: twice ``batch_size``.
        schedule: Which data sets appear in which step, and how long an epoch is.
        max_tokens: Largest size of a training batch of one data set and process, padding included where the encoder
            does not pack; it then has ``batch_size`` examples or fewer. Null: any.
        num_workers: Processes that prepare batches, 0: the training process does; null: 0 on a CPU, up to 4 of a
            training process's cores beside an accelerator.
        seed: Of shuffling.
        tasks: The tasks to train; null: all that the data sets label. Data sets that label none of them are left out.
        drop_last: Leave out the last training batch of a pass where it is smaller than the others, other examples in
            each pass. Not needed for batch normalisation: a last batch of one example takes some of the one before it.
        batch_size_of: Whether ``batch_size`` and ``eval_batch_size`` are those of each ``process`` or of a ``step``, of
            which each process takes its part: a run then keeps its course on another number of processes.
        joint_pass: Whether a step's batches go through the encoder together where only rounding may differ, or never.
        episodes: Data sets that are read in episodes, by name, and what an episode is; see :class:`.Episodes`. Batch
            sizes of these are numbers of episodes.

    Attributes:
        tables: Those of the data sets, once it is set up.
        predict_source: Inputs to predict on, as :func:`.sources.prediction.read_inputs` returns them.
        refused: By row of these, why it cannot be predicted on; there once its loader was made.
    """

    def __init__(
        self,
        datasets: dict[str, DataSource],
        batch_size: int | dict[str, int] = 32,
        eval_batch_size: int | dict[str, int] | None = None,
        schedule: Schedule | None = _ROUND_ROBIN,
        max_tokens: int | None = None,
        num_workers: int | None = None,
        seed: int = 0,
        tasks: list[str] | None = None,
        drop_last: bool = False,
        joint_pass: Literal["auto", "never"] = "auto",
        batch_size_of: Literal["process", "step"] = "process",
        episodes: dict[str, Episodes] | None = None,
    ) -> None:
        super().__init__()
        check_names(datasets)
        self.datasets = labelling(datasets, tasks)
        self.given_sizes = BatchSizes.read(batch_size, eval_batch_size, datasets, of_step=batch_size_of == "step")
        self.batch_sizes, self.eval_batch_sizes = self.given_sizes.train, self.given_sizes.evaluation
        self.schedule = schedule or RoundRobin()  # null in configurations of version 0.1
        if max_tokens is not None and max_tokens < 1:
            raise UserError(f"data.max_tokens must be at least 1, found {max_tokens}")
        self.max_tokens = max_tokens
        self.num_workers = checked_num_workers(num_workers)
        if seed < 0:
            raise UserError(f"data.seed must be at least 0, found {seed}")
        self.seed = seed
        self.drop_last = drop_last
        self.joint_pass = joint_pass
        self.episodes = dict(episodes or {})
        self.predict_source: tuple[DataSource, Dataset] | None = None
        self.refused: dict[int, str] = {}
        self.progress: Progress | None = None
        self.tables = RawTables()
        self._reported: set[tuple[str, str]] = set()

    def setup(self, stage: str) -> None:
        """Loads the raw tables."""
        if self._trainer.overfit_batches:
            raise UserError("trainer.overfit_batches picks from a plain sampler; use trainer.limit_train_batches")
        self.batch_sizes, self.eval_batch_sizes = self.given_sizes.on(self._trainer.world_size, trains=stage == "fit")
        if stage == "fit":
            tasks = {name: list(source.labels) for name, source in self.datasets.items()}
            self.progress = Progress(self._trainer, self.seed, tasks)
        if stage != "predict" and not self.tables:
            self.tables.read(self.datasets)
        model = self._trainer.lightning_module
        check_labelled(self.datasets, list(model.tasks), model.trained_tasks)
        self.schedule.check({name: list(source.labels) for name, source in self.datasets.items()})
        check_groups(self.datasets, self.tables, model.tasks)
        check_episodes(self.episodes, self.datasets, model)
        if stage == "fit" and model.weighting.needs_validation_batch:
            check_beside(type(model.weighting).__name__, self.tables, self.episodes)
        for name, source in self.datasets.items() if stage == "fit" else ():
            check_label_maps(name, source, self._trainer.lightning_module.tasks)
            check_streams(name, source, self.tables[name])
            if not self.tables.is_stream(name):
                self._encoding(name).check(self.tables.of(name, "train"))
            if self._trainer.is_global_zero:
                warn_of_leakage(name, source, self.tables[name])
        self.tables.check("val", needed=stage == "fit" and bool(self._trainer.limit_val_batches))

    def training_labels(self, task: str) -> Iterator[Any]:
        """Yields raw labels of a task from the training splits of all data sets that label it.

        Raises:
            UserError: If a data set that labels it has no training split, or a label there cannot be understood.
        """
        if not self.tables:
            raise UserError("`predict` reads no training data to take its labels from; name them, or omit --config")
        for name, source in self.datasets.items():
            if task in source.labels:
                if self.tables.is_stream(name):
                    raise UserError(
                        f"data set '{name}' is a stream, which nobody has read before training starts: give the task "
                        f"what it would take from the labels (`labels`, weights by name instead of `balanced`; `mean` "
                        f"and `std` of a regression, `mean` of a depth)"
                    )
                yield from understood_labels(self._encoding(name), self.tables.of(name, "train"), "train", task)

    def training_inputs(self) -> Iterator[Mapping[str, Sequence[CountedColumn]]]:
        """Yields raw values of the inputs in the training splits of all data sets, some thousand rows at a time.

        Raises:
            UserError: If a data set has no training split, or a column is missing.
        """
        if not self.tables:
            raise UserError("`predict` reads no training data to learn columns from")
        for name, source in self.datasets.items():
            if self.tables.is_stream(name):
                yield from streamed_inputs(name, source, self.tables[name]["train"])
                continue
            self._encoding(name).check(self.tables.of(name, "train"))
            yield from counted_inputs(source, self.tables.of(name, "train"), f"data set '{name}', split 'train'")

    def train_dataloader(self) -> DataLoader[StepBatch]:
        """Step batches in the order of the schedule."""
        if self.progress is None:
            raise UserError("the steps depend on the trainer: give it the data module itself, `datamodule=...`")
        tables, model = self._encoded("train", self.datasets), self._trainer.lightning_module
        validation = self._encoded("val", self.datasets) if model.weighting.needs_validation_batch else {}
        sampler = StepSampler(
            lengths=lengths_of(tables),
            counts={name: numbers_of("counts/", table) for name, table in tables.items()},
            places={name: numbers_of("places/", table) for name, table in tables.items()},
            batch_sizes=self.batch_sizes,
            schedule=self.schedule,
            moment=self.progress.moment,
            rank=self._trainer.global_rank,
            num_replicas=self._trainer.world_size,
            max_tokens=self.max_tokens,
            drop_last=self.drop_last,
            window=lambda: self._trainer.accumulate_grad_batches // model.batches_per_step,
            packed=model.encoder.processor.packs,
            beside=beside(validation, self.batch_sizes, self.max_tokens, self._trainer),
            streams={name: self._stream(name) for name in self.datasets if self.tables.is_stream(name)},
            **self._drawn("train", tables)._asdict(),
        )
        if empty := [name for name, number in sampler.num_batches.items() if number == 0]:
            batch = f"{self.batch_sizes[empty[0]]} on each process, the batch that `data.drop_last` asks for; lower "
            fewer = f"{batch}data.batch_size or unset it" if self.drop_last else "there are processes"
            raise UserError(f"data set '{empty[0]}' has fewer training examples than {fewer}")
        self.progress.begin(sampler)
        return self._loader(tables, sampler, validation)

    def val_dataloader(self) -> DataLoader[StepBatch]:
        """Each validation example once; data sets without this split, beside others that have it, are left out."""
        return self._evaluation("val", self._trainer.limit_val_batches)

    def test_dataloader(self) -> DataLoader[StepBatch]:
        """Each test example once; data sets without this split, beside others that have it, are left out."""
        return self._evaluation("test", self._trainer.limit_test_batches)

    def predict_dataloader(self) -> DataLoader[StepBatch]:
        """Each example of ``predict_source`` that can be encoded once, in order; the others are in ``refused``."""
        if self.predict_source is None:
            raise UserError("nothing to predict: give `--input FILE`")
        source, table = self.predict_source
        encoding = Encoding("input", source, self._trainer.lightning_module.encoder.processor, {})
        encoded = encoding(table, "predict", labelled=False)
        self.refused = encoding.refused(table, encoded)
        if self._trainer.is_global_zero:
            report_inputs(encoding, table, encoded, self.refused)
        sampler = SequentialSampler(
            {"input": np.zeros(len(encoded))},
            {"input": max(self.eval_batch_sizes.values())},
            self._trainer.global_rank,
            self._trainer.world_size,
        )
        return self._loader({"input": without_notes(encoded)}, sampler)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of training examples of each data set, once training has begun."""
        return {} if self.progress is None else self.progress.sizes

    # -- checkpoints -------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Where a run takes up when it goes on; see :class:`.progress.Progress`."""
        return {} if self.progress is None else self.progress.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint, if the run goes on."""
        if self.progress is not None:
            self.progress.load_state_dict(state_dict)

    @property
    def _trainer(self) -> Any:
        if self.trainer is None:
            raise RuntimeError("the data module works inside a Trainer: trainer.fit(model, datamodule=data)")
        return self.trainer

    def _encoded(self, split: str, names: Collection[str]) -> dict[str, Dataset]:
        encoded = {}
        for name in names:
            if split == "train" and self.tables.is_stream(name):
                continue
            encoding, table = self._encoding(name), self.tables.of(name, split)
            found = encoding(table, split)
            if self._trainer.is_global_zero and (name, split) not in self._reported:
                report(encoding, table, found, split, self._trainer.default_root_dir)
            self._reported.add((name, split))
            encoded[name] = without_notes(found)
        return encoded

    def _stream(self, name: str) -> StreamPasses:
        encoding = self._encoding(name)
        encode = ExampleEncoder(encoding.source, encoding.processor, encoding.tasks)
        examples = self.tables[name]["train"]
        return StreamPasses(name, examples, encode, self.batch_sizes[name], self._trainer.world_size)

    def _encoding(self, name: str) -> Encoding:
        model, source = self._trainer.lightning_module, self.datasets[name]
        tasks = {task: head for task, head in model.tasks.items() if task in source.labels}
        return Encoding(name, source, model.encoder.processor, tasks)

    def _drawn(self, split: str, encoded: Mapping[str, Dataset]) -> Drawn:
        tasks = self._trainer.lightning_module.tasks
        return drawn_from(self.episodes, self.datasets, split, self.tables.of, encoded, tasks)

    def _evaluation(self, split: str, limit: int | float) -> DataLoader[StepBatch]:
        found = [name for name in self.datasets if split in self.tables[name]]
        self._say_left_out(split, found)
        tables = self._encoded(split, found or self.datasets)
        process = (self._trainer.global_rank, self._trainer.world_size)
        episodes = fixed(self._drawn(split, tables), split)
        whole = {name: table for name, table in tables.items() if name not in episodes}
        sizes = sizes_in_evaluation(self.episodes, self.eval_batch_sizes)
        return self._loader(tables, SequentialSampler(lengths_of(whole), sizes, *process, limit, episodes))

    def _say_left_out(self, split: str, found: Sequence[str]) -> None:
        for name in self.datasets if found and self._trainer.is_global_zero else ():
            if name not in found and (name, split) not in self._reported:
                _LOG.warning(f"data set '{name}' has no split '{split}' and is left out there")
                self._reported.add((name, split))

    def _loader(
        self, tables: Mapping[str, Dataset], sampler: Any, validation: Mapping[str, Dataset] = MappingProxyType({})
    ) -> DataLoader[StepBatch]:
        model = self._trainer.lightning_module
        missing = {name: task.missing for name, task in model.tasks.items()}
        by_episode = [name for name, task in model.tasks.items() if task.by_episode]
        moves = moves_of_labels(model.tasks)
        dataset = StepDataset(tables, model.encoder.processor, missing, moves, by_episode, validation)
        return step_loader(dataset, sampler, self.num_workers, self._trainer)
