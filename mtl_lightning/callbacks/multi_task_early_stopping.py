"""Stops a run when no task improves any more."""

import logging
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.errors import UserError, did_you_mean

_say = rank_zero_only(logging.getLogger("lightning.pytorch.utilities.rank_zero").info)


class MultiTaskEarlyStopping(Callback):
    """Ends training once none of the tasks' main metrics has improved for ``patience`` validations.

    Lightning's ``EarlyStopping`` follows one score: on one task's it stops while others still learn, and an average
    goes down where one task gets worse faster than the others improve. Here each task has a best score of its own, in
    its own direction; a score that is not a number is no improvement.

    Args:
        patience: Validations in a row in which no task improves.
        min_delta: By how much more than its best score so far a task must be better to count as improved.
        tasks: Those that count; null: all.
    """

    def __init__(self, patience: int = 3, min_delta: float = 0.0, tasks: Sequence[str] | None = None) -> None:
        if patience < 1:
            raise UserError(f"`patience` must be at least 1, found {patience}")
        if not min_delta >= 0:
            raise UserError(f"`min_delta` must be at least 0, found {min_delta}")
        self.patience = patience
        self.min_delta = min_delta
        self.tasks = None if tasks is None else list(tasks)
        self.best: dict[str, float] = {}
        """By task, the best main metric so far; better is higher, so one that is better when lower counts negative."""
        self.waited = 0
        """Validations since a task last improved."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses tasks that there are not."""
        names = list(pl_module.tasks)  # type: ignore[arg-type]
        if unknown := [task for task in self.tasks or () if task not in names]:
            hint = did_you_mean(unknown[0], names)
            raise UserError(f"trainer.callbacks: MultiTaskEarlyStopping knows no task '{unknown[0]}'; {hint}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compares each task with its best."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        self.waited = 0 if self._improved(_scores(pl_module)) else self.waited + 1
        if trainer.strategy.reduce_boolean_decision(self.waited >= self.patience, all=False):
            trainer.should_stop = True
            _say(f"No task has improved for {self.waited} validations: stopping. Best: {self._described(pl_module)}")

    def _improved(self, scores: dict[str, float]) -> list[str]:
        counted = {task: score for task, score in scores.items() if self.tasks is None or task in self.tasks}
        better = [t for t, score in counted.items() if score > self.best.get(t, float("-inf")) + self.min_delta]
        self.best |= {task: counted[task] for task in better}
        return better

    def _described(self, module: Any) -> str:
        return ", ".join(f"{task} {module.tasks[task].main_metric} {abs(best):.4g}" for task, best in self.best.items())

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best": dict(self.best), "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.best, self.waited = dict(state_dict["best"]), state_dict["waited"]


def _scores(module: Any) -> dict[str, float]:
    """The newest main metric of each task that had labels, the same on all processes; better is higher."""
    return {
        name: metrics[module.tasks[name].main_metric] * (1 if module.tasks[name].higher_is_better else -1)
        for name, metrics in module.results["val"].metrics.items()
    }
