"""How much the processes of a run send to each other."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mtl_lightning.backward.traffic import TRAFFIC
from mtl_lightning.data import StepBatch


class Volumes(Callback):
    """Logs ``train/bytes_sent`` and ``train/exchanges``: what a process sends to others in an optimizer step.

    These are gradients, the evidence of the weighting and running statistics, in collective operations; both are means
    over the steps since the last logged one. A single process logs neither. :class:`MultiTaskModule` installs it.
    Nothing asks the device: sizes are known on the host.
    """

    def __init__(self) -> None:
        self._step = self._exchanges = 0
        self._bytes = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count."""
        self._begin(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        """Reports when the trainer logs."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        steps = trainer.global_step - self._step
        exchanges = TRAFFIC.exchanges - self._exchanges
        if every and trainer.global_step % every == 0 and steps and exchanges:
            pl_module.log("train/bytes_sent", (TRAFFIC.bytes - self._bytes) / steps, batch_size=1)
            pl_module.log("train/exchanges", exchanges / steps, batch_size=1)
            self._begin(trainer)

    def _begin(self, trainer: Trainer) -> None:
        self._step, self._exchanges, self._bytes = trainer.global_step, TRAFFIC.exchanges, TRAFFIC.bytes
