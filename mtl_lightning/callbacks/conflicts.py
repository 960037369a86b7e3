"""Which tasks hinder each other."""

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.backward import Step, cosines
from mtl_lightning.callbacks.careful_loggers import attempt
from mtl_lightning.callbacks.cosine_figures import MAX_LINES, draw_matrix, draw_training
from mtl_lightning.callbacks.cosines import MIN_STEPS, CosineHistory
from mtl_lightning.errors import UserError
from mtl_lightning.terminal import say
from mtl_lightning.weighting import LossWeighting

_warn = rank_zero_only(logging.getLogger(__name__).warning)
_MAX_NAMED = 10
_HOW_TO_SEE = (
    "Conflicts between tasks cannot be measured: no step computes the gradients of single tasks; set "
    "model.refresh_every to 10 to have every tenth step compute them"
)


class TaskConflicts(Callback):
    """Draws how the tasks' gradients point towards or away from each other, and says which tasks hinder each other.

    From the command line::

        python -m mtl_lightning fit --model.weighting=UPGrad --trainer.callbacks+=TaskConflicts

    It takes the Gramian of every optimizer step that has one: of all steps for a Gramian or Jacobian method, of those
    that ``refresh_every`` asks for otherwise. That Gramian is on the host already, so the device is asked for nothing.

    Written to ``plots`` in the run's folder, and handed to Weights & Biases and TensorBoard as ``conflicts/matrix`` and
    ``conflicts/training``: ``matrix.png``, the mean cosine of each pair of tasks, where an outline marks a conflict;
    ``training.png``, their course over training, for more than 8 tasks as a matrix for each sixth of it. Logged for up
    to 8 tasks: ``train/cosine/<task>-<task>``, means over the steps since the last logged one. When training ends, it
    prints the pairs of tasks whose mean cosine is negative beyond noise, as :meth:`CosineHistory.conflicts` says.

    Needs: ``pip install 'mtl-lightning[plots]'``.

    Args:
        every_n_epochs: How often to draw before training ends.

    Attributes:
        history: What was found so far.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        if every_n_epochs < 1:
            raise UserError(f"`every_n_epochs` must be at least 1, found {every_n_epochs}")
        self.every_n_epochs = every_n_epochs
        self.history = CosineHistory([])
        self._recent = np.zeros((2, 0, 0))  # sums and counts since the last logged step
        self._newest: Any = None
        self._drawn = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Starts anew, and says early if there will be nothing to see."""
        if stage != "fit":
            return
        if find_spec("matplotlib") is None:
            raise UserError("TaskConflicts needs matplotlib: pip install 'mtl-lightning[plots]'")
        tasks = list(pl_module.tasks)  # type: ignore[arg-type]
        if len(tasks) < 2:
            raise UserError(f"TaskConflicts compares tasks; there is only one, '{tasks[0]}'")
        self.history = CosineHistory(tasks)
        self._recent = np.zeros((2, len(tasks), len(tasks)))
        self._newest, self._drawn = None, 0
        if isinstance(pl_module.weighting, LossWeighting) and pl_module._refresh_every is None:
            _warn(_HOW_TO_SEE)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds what an optimizer step found."""
        if trainer.fit_loop._should_accumulate():
            return
        step: Step | None = pl_module.step  # type: ignore[assignment]
        if step is not None and step.gramian is not None and step.gramian is not self._newest:
            self._newest = step.gramian
            found = cosines(step.gramian)
            self.history.add(trainer.global_step, list(step.losses), found)
            rows = np.array([self.history.tasks.index(task) for task in step.losses])
            self._recent[:, rows[:, None], rows] += [np.nan_to_num(found), np.isfinite(found)]
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and trainer.global_step % every == 0 and len(self.history.tasks) <= MAX_LINES:
            self._log(pl_module)

    def _log(self, pl_module: LightningModule) -> None:
        tasks, (sums, counts) = self.history.tasks, self._recent
        for i, j in zip(*np.nonzero(np.triu(counts, 1)), strict=True):
            pl_module.log(f"train/cosine/{tasks[i]}-{tasks[j]}", float(sums[i, j] / counts[i, j]), batch_size=1)
        self._recent = np.zeros_like(self._recent)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws, so that a run that is killed has pictures."""
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws, and says which tasks hinder each other."""
        self._draw(trainer)
        if trainer.is_global_zero:
            say(verdict(self.history))
            if self.history.steps:
                say(f"Cosines of the tasks' gradients: matrix.png and training.png in {_folder(trainer)}")

    def _draw(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero or self._drawn == self.history.steps:
            return
        self._drawn = self.history.steps
        for name, draw in (("matrix", draw_matrix), ("training", draw_training)):
            path = _folder(trainer) / f"{name}.png"
            draw(self.history, path)
            for logger in trainer.loggers:
                with attempt(logger):
                    _log_image(logger, f"conflicts/{name}", path, trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"history": self.history.state_dict(), "recent": self._recent.tolist()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.history.load_state_dict(state_dict["history"])
        self._recent = np.array(state_dict["recent"])


def verdict(history: CosineHistory) -> str:
    """Which tasks hinder each other, in a sentence for each pair, the strongest conflict first."""
    if not history.steps:
        return _HOW_TO_SEE
    if not history.most_seen():
        return (
            "No optimizer step had gradients of two tasks, so conflicts could not be measured; set "
            "trainer.accumulate_grad_batches to the number of data sets"
        )
    if history.most_seen() < MIN_STEPS:
        steps = history.most_seen()
        return f"Too few steps to say which tasks hinder each other: {steps} saw two of them, {MIN_STEPS} must"
    found = history.conflicts()
    lines = [
        f"{first} and {second} hinder each other: mean cosine {pair.mean:.3f} ± {pair.margin:.3f}, gradients conflict "
        f"in {pair.share:.0%} of {pair.steps} steps"
        for pair in found[:_MAX_NAMED]
        for first, second in [pair.tasks]
    ]
    if len(found) > _MAX_NAMED:
        lines.append(f"… and {len(found) - _MAX_NAMED} more pairs of tasks")
    return "\n".join(lines) or f"No two tasks hinder each other, as far as {history.steps} steps can tell"


def _folder(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir, "plots")


def _log_image(logger: Any, name: str, path: Path, step: int) -> None:
    if isinstance(logger, TensorBoardLogger):
        from matplotlib.image import imread

        logger.experiment.add_image(name, imread(path), step, dataformats="HWC")
    elif hasattr(logger, "log_image"):
        logger.log_image(name, [str(path)], step)
