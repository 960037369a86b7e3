"""Notes what a process holds as it trains."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from experiments.soak.held import held

COLUMNS = ("step", "resident", "proportional", "anonymous", "descriptors", "children")


class Watch(Callback):
    """Writes ``held-<rank>.csv`` into the run's folder: a line every few steps.

    Args:
        every: Steps between two lines.
    """

    def __init__(self, every: int = 100) -> None:
        self.every = every

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begins the file."""
        with _file(trainer).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(COLUMNS)

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Notes what is held."""
        if trainer.global_step % self.every == 0:
            with _file(trainer).open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow([trainer.global_step, *held().values()])


def _file(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir) / f"held-{trainer.global_rank}.csv"
