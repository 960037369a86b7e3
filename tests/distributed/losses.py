"""Trains 100 steps with each of a few weightings and writes the losses: ``python losses.py FOLDER``, on each process.

One process trains on the joined batches, two on uneven parts of them. The first one writes
``FOLDER/<number of processes>/losses.json``: of each step the sum of the tasks' losses, to the last digit.
"""

import json
import sys
from collections import UserList
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from methods import DATASETS, METHODS, batches, model
from quiet import begin

NAMES = ("EqualWeighting", "PCGrad", "FAMO", "UPGrad")
STEPS = 100


class Losses(Callback):
    """Keeps what each step found."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        self.found.append(float(sum(pl_module.step.losses.values())).hex())


def train(name: str, world: int, rank: int) -> list[str]:
    """The losses of a run."""
    losses = Losses()
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        precision="64-true",
        max_epochs=1,
        gradient_clip_val=0.3,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[losses],
    )
    trainer.fit(model(METHODS[name], {}), UserList(batches(DATASETS, False, world, rank, STEPS)))
    return losses.found


def main(folder: Path) -> None:
    """Trains with all of them."""
    world, rank = begin()
    torch.set_num_threads(1)
    found = {name: train(name, world, rank) for name in NAMES}
    if rank == 0:
        (folder / str(world) / "losses.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
