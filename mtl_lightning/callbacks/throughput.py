"""How fast a run trains."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mtl_lightning.data import StepBatch


class Throughput(Callback):
    """Logs ``train/examples_per_second`` and ``train/tokens_per_second``, of all processes together.

    Beside them ``train/data_wait``, the share of the time in which this process stood waiting for batches: near 0 where
    the loader keeps up. All are means over the steps since the last logged one, evaluation left out. Batches carry
    their sizes on the host, and waiting is timed there, so nothing asks the device. (Lightning's ``ThroughputMonitor``
    reports only once a window of steps is full, and under names that change with the device.)
    """

    def __init__(self) -> None:
        self._examples = self._tokens = 0
        self._seconds = 0.0
        self._started = 0.0
        self._waited = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forgets an earlier run and starts the clock, as a run that resumes in mid-epoch starts no epoch."""
        self._examples = self._tokens = 0
        self._seconds = self._waited = 0.0
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock; waiting for data counts."""
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        """Counts a batch and, when the trainer logs, reports."""
        now = time.perf_counter()
        self._examples += sum(len(part.examples) for part in batch.values())
        self._tokens += sum(part.num_tokens for part in batch.values())
        self._seconds += now - self._started
        self._started = now
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and trainer.global_step % every == 0:
            self._report(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock anew."""
        self._started = time.perf_counter()

    def _report(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seconds = max(self._seconds, 1e-9)
        rate = trainer.world_size / seconds
        pl_module.log("train/examples_per_second", self._examples * rate, batch_size=1)
        pl_module.log("train/tokens_per_second", self._tokens * rate, batch_size=1)
        waited = getattr(trainer.train_dataloader, "waited", None)  # loaders that are not ours do not tell
        if waited is not None:
            pl_module.log("train/data_wait", (waited - self._waited) / seconds, batch_size=1)
            self._waited = waited
        self._examples = self._tokens = 0
        self._seconds = 0.0
