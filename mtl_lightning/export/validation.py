"""Each task's validation metric, of a model and of the files made of it."""

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch

from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.data.batch import Batch
from mtl_lightning.data.some_of_split import SomeOfSplit
from mtl_lightning.errors import UserError
from mtl_lightning.export.graphs import WrittenGraph
from mtl_lightning.export.quiet import errors_alone
from mtl_lightning.exported.graph import Graph
from mtl_lightning.training.evaluation import Evaluation, Results
from mtl_lightning.training.grouped import groups_in
from mtl_lightning.training.module import MultiTaskModule

_SPLIT = "val"

LIMIT = 1000
"""Examples of each data set, unless the user says another number: one is a tenth of a point."""

HALF_A_POINT = 0.5
"""The most that a task may lose in 8 bits; see :attr:`Judged.lost`."""


class Judged(NamedTuple):
    """The main metric of a task.

    Attributes:
        metric: Its name.
        checkpoint: That of the checkpoint.
        exported: That of the file, on the same examples.
        higher_is_better: Its direction.
    """

    metric: str
    checkpoint: float
    exported: float
    higher_is_better: bool

    @property
    def lost(self) -> float:
        """By how much the file is worse: in points (hundredths) of a metric that is better when higher; else, as an
        error has a unit of its own, in percent of the checkpoint's. Infinite where the file alone has none.
        """
        if math.isnan(self.checkpoint):
            return 0.0
        if math.isnan(self.exported):
            return math.inf
        if self.higher_is_better:
            return 100 * (self.checkpoint - self.exported)
        more = self.exported - self.checkpoint
        return 100 * more / abs(self.checkpoint) if self.checkpoint else math.copysign(math.inf, more) if more else 0.0

    def to_json(self) -> dict[str, Any]:
        """As ``check.json`` has it."""
        return {
            "metric": self.metric,
            "checkpoint": self.checkpoint,
            "exported": self.exported,
            "lost": self.lost,
        }


class Validation:
    """Judges files by the tasks' own metrics, on examples of the validation split.

    Args:
        model: In evaluation mode, on the CPU.
        data: Of its run; it labels no tasks but the model's.
        most: Examples of each data set, which lie evenly over its split.

    Raises:
        UserError: If the data is not there, or no data set has this split.
    """

    def __init__(self, model: MultiTaskModule, data: MultiTaskDataModule, most: int) -> None:
        self._model, self._data = model, data
        with errors_alone("lightning.pytorch"):  # it names devices
            trainer = pl.Trainer(
                accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
            )
        trainer.strategy.connect(model)
        data.trainer = trainer
        data.setup("validate")
        self._examples = SomeOfSplit(data, _SPLIT, most)
        if not self._examples.sizes:
            raise UserError(f"no data set has a split '{_SPLIT}'")
        self._before: dict[str, Results] = {}

    def judge(self, written: WrittenGraph, path: Path, datasets: Collection[str]) -> dict[str, Judged]:
        """The metric of each task that these data sets label.

        Args:
            written: What the file computes.
            path: Of the file.
            datasets: Names of those whose inputs it reads.

        Raises:
            UserError: If it cannot be computed.
        """
        graph = Graph(path, threads=torch.get_num_threads())

        def exported(part: Batch, tasks: list[str]) -> dict[str, Any]:
            names = {name for task in tasks for name in written.logits[task].names.values()}
            arrays = graph.run(arrays_of(part), sorted(names))
            return {task: written.logits[task].of(arrays) for task in tasks}

        needed = set(graph.inputs)
        if written.graph not in self._before:
            self._before[written.graph] = self._results(self._model_outputs, written, datasets, needed)
        before, after = self._before[written.graph], self._results(exported, written, datasets, needed)
        found = {}
        for task, metrics in before.metrics.items():
            head = self._model.tasks[task]
            name = head.main_metric
            found[task] = Judged(name, metrics[name], after.metrics[task][name], head.higher_is_better)
        return found

    def inputs(self, datasets: Collection[str], most: int) -> Iterator[Mapping[str, np.ndarray]]:
        """Batches of inputs of some data sets, for calibration.

        Args:
            datasets: Names of those whose inputs a file reads.
            most: Examples of each data set, which lie evenly over its split.
        """
        for step in SomeOfSplit(self._data, _SPLIT, most):
            yield from (arrays_of(part) for name, part in step.items() if name in datasets)

    def batches(self, datasets: Collection[str]) -> Iterator[tuple[str, Batch]]:
        """The examples of some data sets, each batch with the name of its own."""
        for step in self._examples:
            yield from ((name, part) for name, part in step.items() if name in datasets)

    def _model_outputs(self, part: Batch, tasks: list[str]) -> dict[str, Any]:
        return self._model(part.inputs, tasks)  # type: ignore[no-any-return]

    def _results(self, outputs: Any, written: WrittenGraph, datasets: Collection[str], needed: set[str]) -> Results:
        sources = self._data.datasets
        labelled = {task for name in datasets if name in sources for task in sources[name].labels}
        tasks = {task: self._model.tasks[task] for task in written.logits if task in labelled}
        evaluation = Evaluation(tasks)
        with torch.no_grad():
            for name, part in self.batches(datasets):
                if needed <= set(part.inputs) and (wanted := [task for task in part.targets if task in tasks]):
                    groups = groups_in(part, self._data, self._model.tasks, name, _SPLIT)
                    evaluation.update(name, tasks, outputs(part, wanted), part.targets, part.counts, groups)
            return evaluation.compute(tasks)


def arrays_of(part: Batch) -> Mapping[str, np.ndarray]:
    """The inputs of a batch as a file reads them."""
    return {name: tensor.numpy() for name, tensor in part.inputs.items()}
