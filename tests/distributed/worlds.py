"""Trains a part of a run on as many processes as there are, from where another number has left it.

``python worlds.py FOLDER``, on each process. What each step read is pickled by process.
"""

import pickle
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, IterableDataset
from lightning.pytorch import Callback, Trainer
from quiet import begin
from resume import Points, Record

from mtl_lightning.callbacks import LastCheckpoint
from mtl_lightning.data import MultiTaskDataModule, Streaming
from mtl_lightning.data import schedules as s
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.tasks import Regression, SequenceClassification
from mtl_lightning.training.module import MultiTaskModule

JOINED = 8
"""Examples of a batch, all processes together, in the first case."""

CASES: dict[str, dict[str, Any]] = {
    "joined": {"schedule": s.Temperature(0.5, batches_per_step=2), "stops": {2: 2, 1: 4, 4: None}},
    "each": {"schedule": s.RoundRobin(), "stops": {2: 4, 1: 8, 4: None}},
}


class Stream(Points):
    """The same points, as they come."""

    def __init__(self, labels: dict[str, str], size: int, seed: int) -> None:
        super().__init__(labels, size, seed)
        self.streaming = Streaming(num_examples=size, buffer=16)

    def load(self) -> dict[str, Dataset | IterableDataset]:  # type: ignore[override]
        return {"train": self._table(self.size, 0).to_iterable_dataset()}


def run(name: str, world: int, folder: Path, whole: bool = False) -> tuple[list[Any], dict[str, Any]]:
    case = CASES[name]
    tasks = {
        "side": SequenceClassification(["a", "b"], dropout=0.0),
        "height": Regression(0.0, 1.0, "rmse", dropout=0.0),
    }
    torch.manual_seed(3)
    module = MultiTaskModule(PerceptronEncoder(5, [6, 4]), tasks)
    both = {"side": "side", "height": "height"}
    sources = {"both": Points(both, 40, 0), "one": Points({"side": "side"}, 24, 1), "stream": Stream(both, 40, 2)}
    sizes: dict[str, Any] = {"batch_size": 2}
    if name == "joined" or whole:
        sizes = {"batch_size": JOINED, "batch_size_of": "step"}
    data = MultiTaskDataModule(dict(sources), schedule=case["schedule"], num_workers=0, **sizes)
    record, checkpoint = Record(), folder / "checkpoints" / "last.ckpt"
    callbacks: list[Callback] = [record] if whole else [record, LastCheckpoint()]
    stop = None if whole else case["stops"][world]
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        precision="64-true",
        max_epochs=2,
        max_steps=-1 if stop is None else stop,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=not whole,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=callbacks,
    )
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
    return [(epoch, batch, read) for epoch, batch, read, *_ in record.lines], module.state_dict()


def main(folder: Path) -> None:
    world, rank = begin()
    for name in CASES:
        found: dict[str, Any] = {}
        found["part"], found["state"] = run(name, world, folder / name)
        if world == 1:
            found["whole"], found["expected"] = run(name, world, folder / f"{name}-whole", whole=True)
        (folder / str(world) / f"{name}-{rank}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
