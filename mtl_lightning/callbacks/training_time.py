"""How long a run has trained."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class TrainingTime(Callback):
    """Keeps in checkpoints how many seconds the run has trained, its validations included.

    :class:`MultiTaskModule` installs it. It counts on in a resumed run, from the checkpoint that this resumes from.
    """

    def __init__(self) -> None:
        self._before = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + (0.0 if self._started is None else time.monotonic() - self._started)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._started = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops it."""
        self._before, self._started = self.seconds, None

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._before = float(state_dict["seconds"])
