"""A few steps of a run, to tell how long all of it takes."""

import json
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mtl_lightning.callbacks import Interrupted
from mtl_lightning.compare.running.run.measure import Stopwatch
from mtl_lightning.compare.running.store import PROBED
from mtl_lightning.writing import write_whole

_STEPS = 12


class Probe(Callback):
    """Times the first steps and validation batches of a run, writes ``probed.json``, and stops the run.

    It holds ``start`` (seconds until training starts), ``step`` (seconds of an optimizer step), ``steps`` (of the whole
    run), ``evaluation`` (seconds of one pass over the validation data) and ``evaluations`` (how many there are, the one
    at the end counted too).
    """

    def __init__(self) -> None:
        self._made = time.perf_counter()
        self._start = 0.0
        self._steps: list[float] = []
        self._batches: list[float] = []
        self._watch = Stopwatch(warm_up=1)

    def on_validation_batch_start(self, *arguments: Any) -> None:
        """Starts the clock."""
        self._watch.start()

    def on_validation_batch_end(self, *arguments: Any) -> None:
        """Takes a batch of the sanity check."""
        self._batches.append(self._watch.lap() or 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes how long it took to get here."""
        self._start = time.perf_counter() - self._made

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._watch = Stopwatch(warm_up=1)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        """Takes a step, and stops once there are enough."""
        if (seconds := self._watch.lap()) is not None:
            self._steps.append(seconds)
        steps = trainer.estimated_stepping_batches
        if trainer.global_step >= min(_STEPS, steps):
            self._write(trainer, steps)
            raise Interrupted(0)

    def _write(self, trainer: Trainer, steps: float) -> None:
        batches = [seconds for seconds in self._batches if seconds]
        evaluation = sum(trainer.num_val_batches) * (sum(batches) / len(batches) if batches else 0.0)
        epochs = steps * trainer.accumulate_grad_batches / max(1, trainer.num_training_batches)
        probed = {
            "start": self._start,
            "step": sum(self._steps) / max(1, len(self._steps)),
            "steps": steps,
            "evaluation": evaluation,
            "evaluations": epochs / (trainer.check_val_every_n_epoch or 1) + 1,
        }
        write_whole(Path(trainer.default_root_dir, PROBED), json.dumps(probed))
