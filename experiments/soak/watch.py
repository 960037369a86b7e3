"""What a process holds, noted as it trains."""

import csv
import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

COLUMNS = ("step", "resident", "proportional", "anonymous", "descriptors", "children")
_FROM_SYSTEM = {"resident": "Rss", "proportional": "Pss", "anonymous": "Anonymous"}


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


def held() -> dict[str, int]:
    """Of this process: bytes of memory, and numbers of open descriptors and of child processes."""
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    system = {key.rstrip(":"): int(size) * 1024 for key, size, *_ in lines}
    children = sum(len((task / "children").read_text().split()) for task in Path("/proc/self/task").iterdir())
    counts = {"descriptors": len(os.listdir("/proc/self/fd")) - 1, "children": children}
    return {name: system[entry] for name, entry in _FROM_SYSTEM.items()} | counts


def _file(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir) / f"held-{trainer.global_rank}.csv"
