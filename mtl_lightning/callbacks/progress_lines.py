"""How far a run is, a line at a time, where no terminal shows a progress bar."""

import time
from math import ceil, isfinite
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mtl_lightning.duration import duration
from mtl_lightning.terminal import say


class ProgressLines(Callback):
    """Prints a line to standard error at the first step, then every so often, and after validations.

    A line holds epoch, step, the newest losses and ``val/average``, steps per second and the time left::

        epoch 2/8, step 96/344: train/loss/intent 0.211, train/loss/slots 0.532, val/average 0.914; 3.1 steps/s, 1.3 min left

    The device is asked for numbers only when a line is printed.

    Args:
        seconds: Least time between two lines in training; a line after a validation waits a tenth of it.
    """  # noqa: E501 - a line as it is printed

    def __init__(self, seconds: float = 30.0) -> None:
        self.seconds = seconds
        self._begun = self._printed = 0.0
        self._first_step = self._printed_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._begun = time.monotonic()
        self._printed = -self.seconds
        self._first_step = trainer.global_step
        self._printed_step = -1

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Prints a line if one is due."""
        self._print(trainer, self.seconds)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the new scores, unless a line has just been printed."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._print(trainer, self.seconds / 10)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints where the run has ended."""
        if self._printed_step != trainer.global_step:
            self._print(trainer, 0)

    def _print(self, trainer: Trainer, seconds: float) -> None:
        now = time.monotonic()
        if now - self._printed < seconds or not trainer.is_global_zero:
            return
        self._printed, self._printed_step = now, trainer.global_step
        values = ", ".join(f"{name} {float(value):.4g}" for name, value in trainer.progress_bar_metrics.items())
        say(f"{_place(trainer)}{': ' if values else ''}{values}{self._pace(trainer, now)}", error=True)

    def _pace(self, trainer: Trainer, now: float) -> str:
        done = trainer.global_step - self._first_step
        if done < 1 or now <= self._begun:
            return ""
        rate = done / (now - self._begun)
        left = total_steps(trainer) - trainer.global_step
        return f"; {rate:.3g} steps/s" + (f", {duration(left / rate)} left" if 0 < left < float("inf") else "")


def total_steps(trainer: Trainer) -> float:
    """Optimizer steps at which a run ends, infinite where that is not known."""
    by_steps = float("inf") if trainer.max_steps < 0 else trainer.max_steps
    if trainer.max_epochs in (None, -1) or not isfinite(trainer.num_training_batches):
        return by_steps
    assert trainer.max_epochs is not None
    steps = ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    return min(by_steps, trainer.max_epochs * steps)


def _place(trainer: Trainer) -> str:
    epochs = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
    steps = total_steps(trainer)
    epoch = trainer.current_epoch + 1 if not epochs else min(trainer.current_epoch + 1, trainer.max_epochs or 1)
    return f"epoch {epoch}{epochs}, step {trainer.global_step}{f'/{steps:.0f}' if isfinite(steps) else ''}"
