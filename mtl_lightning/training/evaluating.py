"""What follows from an evaluation in a run: what is logged, and what weighting and schedule learn of it."""

from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn

from mtl_lightning.data import StepBatch
from mtl_lightning.inputs.meant import not_meant
from mtl_lightning.training import adapting
from mtl_lightning.training.episodes import answers
from mtl_lightning.training.evaluation import Evaluation, Results, labelled_tasks, labelling
from mtl_lightning.training.grouped import groups_in
from mtl_lightning.training.network import Network
from mtl_lightning.training.optimizers import step_on_scores


class Evaluations:
    """The evaluation of each stage, ``val`` and ``test``, which is also the first part of the names in the log."""

    def __init__(self) -> None:
        self._of: dict[str, Evaluation] = {}

    def start(self, module: Any, stage: str) -> None:
        """Makes the metrics, on every process, whatever batches it will see; nothing of an evaluation before is left.

        Their state is made of usual tensors, also in Lightning's inference mode: a validation during training, which
        may come next, could not change it otherwise.
        """
        sources = getattr(module.trainer.datamodule, "datasets", {})
        joint = [name for name, source in sources.items() if len(source.labels) > 1]
        several, now = labelling(module), self._of.get(stage)
        with torch.inference_mode(False):
            if now is None or (now.datasets, now.several) != (joint, several):
                self._of[stage] = Evaluation(labelled_tasks(module), joint, several)
            self._of[stage].to(module.device).reset()

    def update(self, module: Any, stage: str, batch: StepBatch) -> None:
        """Feeds the metrics."""
        for dataset, part in batch.items():
            groups = groups_in(part, module.trainer.datamodule, module.tasks, dataset, stage)
            adapts = part.form is not None and module.inner_loop is not None
            for found in adapting.answers(module, part) if adapts else answers(module, part):
                self._of[stage].update(dataset, module.tasks, *found, groups, part.form is not None)

    def finish(self, module: Any, stage: str) -> Results:
        """Computes the results over all processes, logs them, and starts anew."""
        evaluation, trainer = self._of[stage], module.trainer
        results = evaluation.compute(module.tasks)
        if trainer.is_global_zero and not trainer.sanity_checking:
            evaluation.warn_of_undefined(results, stage)
        evaluation.reset()
        for task, metrics in results.metrics.items():
            module.log_dict({f"{stage}/{task}/{name}": value for name, value in metrics.items()})
        for task, datasets in results.by_dataset.items():
            for dataset, metrics in datasets.items():
                module.log_dict({f"{stage}/{task}/{name}/{dataset}": value for name, value in metrics.items()})
        module.log_dict({f"{stage}/joint/{dataset}": value for dataset, value in results.joint.items()})
        module.log(f"{stage}/average", results.average, prog_bar=True)
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            _tell(module, results)
        return results


class EvaluatedModule(Network):
    """A module's hooks of validation, test and prediction.

    Attributes:
        results: What the newest evaluation of each stage found.
        asked: Names of the tasks that prediction is of; null: all that the inputs suffice for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, Results] = {}
        self.asked: list[str] | None = None
        self._left_out: frozenset[str] = frozenset()
        self._evaluations = Evaluations()

    def validation_step(self, batch: StepBatch, batch_idx: int) -> None:
        """Feeds the metrics."""
        self._evaluations.update(self, "val", batch)

    def test_step(self, batch: StepBatch, batch_idx: int) -> None:
        """Feeds the metrics."""
        self._evaluations.update(self, "test", batch)

    def on_validation_epoch_start(self) -> None:
        """Starts the metrics, on every process, whatever batches it will see."""
        self._evaluations.start(self, "val")

    def on_test_epoch_start(self) -> None:
        """Starts the metrics, on every process, whatever batches it will see."""
        self._evaluations.start(self, "test")

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics."""
        self.results["val"] = self._evaluations.finish(self, "val")

    def on_validation_end(self) -> None:
        """Lets schedulers that wait for a plateau see the scores."""
        step_on_scores(self)

    def on_test_epoch_end(self) -> None:
        """Logs the metrics."""
        self.results["test"] = self._evaluations.finish(self, "test")

    def on_predict_start(self) -> None:
        """Finds which tasks are not meant where none is asked for."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if (given := getattr(data, "predict_source", None)) is not None:
            ways = [(source.inputs, list(source.labels)) for source in data.datasets.values()]
            self._left_out = not_meant(self.encoder.processor, given[0].inputs, ways)

    def predict_step(self, batch: StepBatch, batch_idx: int) -> list[dict[str, Any]]:
        """Decoded predictions: for each example ``{task: {"label": …, "probability": …}}``."""
        return [row for part in batch.values() for row in self.decode(part, self.asked, self._left_out)]


def _tell(module: Any, results: Results) -> None:
    """Tells the weighting the losses, and the schedule the scores."""
    losses = {
        name: found["loss"] for name in module.trained_tasks if "loss" in (found := results.metrics.get(name, {}))
    }
    module.executor.finish_validation(losses)
    if progress := getattr(module.trainer.datamodule, "progress", None):
        tasks = module.tasks
        for name, found in results.metrics.items():
            progress.scores.add(name, found[tasks[name].main_metric], tasks[name].higher_is_better)
