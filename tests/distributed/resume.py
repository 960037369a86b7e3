"""Trains, stops at chosen places, goes on, and says how the runs ended: ``python resume.py FOLDER``, on each process.

Each case is trained with a checkpoint of every step, once more without any, and from the chosen checkpoints: one of the
middle of an epoch and one between two, on two processes either. Results are pickled by process.
"""

import math
import pickle
import sys
import traceback
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from datasets import Dataset
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers.logger import DummyLogger
from quiet import begin
from torch.optim import AdamW
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR, ReduceLROnPlateau

from mtl_lightning.callbacks import LastCheckpoint
from mtl_lightning.data import DataSource, MultiTaskDataModule
from mtl_lightning.data import schedules as s
from mtl_lightning.data.position import position
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.sharing import TopKRouting
from mtl_lightning.tasks import Regression, SequenceClassification
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import DWA, FAMO, RLW, AutoLambda, CoBa, GradVac, MoCo, UncertaintyWeighting, UPGrad

EPOCHS = 3
PLATEAU = {"lr_scheduler": partial(ReduceLROnPlateau, mode="max", patience=0, factor=0.5)}
EXPONENTIAL = {"lr_scheduler": partial(ExponentialLR, gamma=0.8), "lr_interval": "epoch"}
ONE_CYCLE = {"lr_scheduler": partial(OneCycleLR, max_lr=0.05, total_steps=60)}
CASES: dict[str, dict[str, Any]] = {
    "FAMO, plateau": {"model": {"weighting": FAMO, **PLATEAU}},
    "DWA, one data set a step": {
        "model": {"weighting": partial(DWA, temperature=0.5), **EXPONENTIAL},
        "data": {"schedule": s.Alternating(), "num_workers": 2},
        "trainer": {"accumulate_grad_batches": 2},
    },
    "GradVac, two validations an epoch": {
        "model": {"weighting": GradVac, **ONE_CYCLE},
        "data": {"num_workers": 1},
        "trainer": {"val_check_interval": 0.5},
    },
    "uncertainty, accumulated": {
        "model": {"weighting": UncertaintyWeighting, **PLATEAU},
        "data": {"schedule": s.LearningProgress(epoch_length=7)},
        "trainer": {"accumulate_grad_batches": 2, "val_check_interval": 3},
    },
    "CoBa, random encoder": {
        "model": {"weighting": CoBa, **EXPONENTIAL},
        "data": {"schedule": s.Temperature(alpha=0.5, batches_per_step=2)},
    },
    "UPGrad, refreshed, validation every other epoch": {
        "model": {"weighting": UPGrad, "refresh_every": 3, **PLATEAU},
        "trainer": {"check_val_every_n_epoch": 2},
    },
    "RLW, fixed number of steps": {
        "model": {"weighting": RLW, **ONE_CYCLE},
        "data": {"num_workers": 1},
        "trainer": {"max_epochs": -1, "max_steps": 11},
    },
    "UPGrad, experts chosen by example, with noise": {
        "model": {"weighting": UPGrad, "sharing": partial(TopKRouting, num_experts=4, noise=1.0)},
        "trainer": {"accumulate_grad_batches": 2},
    },
    "Auto-Lambda, validation batches": {
        "model": {"weighting": partial(AutoLambda, learning_rate=0.01), **EXPONENTIAL},
        "data": {"num_workers": 1},
    },
    "Auto-Lambda, one data set a step": {
        "model": {"weighting": partial(AutoLambda, learning_rate=0.01), "refresh_every": 2},
        "data": {"schedule": s.Alternating()},
        "trainer": {"accumulate_grad_batches": 2},
    },
    "MoCo, double precision": {
        "model": {"weighting": MoCo},
        "trainer": {"precision": "64-true", "accumulate_grad_batches": 2},
    },
}


class Points(DataSource):
    """Points with a label for one task or two, some of them missing."""

    def __init__(self, labels: dict[str, str], size: int, seed: int) -> None:
        super().__init__({"features": "x"}, labels)
        self.size, self.seed = size, seed

    def load(self) -> dict[str, Dataset]:
        return {"train": self._table(self.size, 0), "val": self._table(9, 1)}

    def _table(self, size: int, number: int) -> Dataset:
        return table(size, 2 * self.seed + number)


@cache
def table(size: int, seed: int) -> Dataset:
    """Rows with random numbers."""
    points = torch.randn(size, 5, generator=torch.Generator().manual_seed(seed))
    rows = [
        {"x": x.tolist(), "side": "ab"[int(x[0] > 0)], "height": None if i % 5 == 0 else float(x[1])}
        for i, x in enumerate(points)
    ]
    return Dataset.from_list(rows)


class Record(Callback):
    """What every batch read and led to."""

    def __init__(self) -> None:
        self.lines: list[Any] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        read = {name: part.examples for name, part in batch.items()}
        beside = {name: part.validation.examples for name, part in batch.items() if part.validation is not None}
        rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
        self.lines.append((trainer.current_epoch, i, read, float(outputs["loss"]), rates, beside))


class Log(DummyLogger):
    """Keeps what is logged, by step, but for what a start has more of: time, and what is agreed on once."""

    _OF_STARTS = ("seconds", "bytes_sent", "exchanges")

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Any] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:  # type: ignore[override]
        kept = {name: value for name, value in metrics.items() if not name.endswith(self._OF_STARTS)}
        self.lines.append((step, kept))


class EveryPosition(LastCheckpoint):
    """Keeps each of its checkpoints."""

    state_key = LastCheckpoint.__qualname__

    def path(self, trainer: Trainer) -> Path:
        epoch, batch = position(trainer)
        return Path(str(self.folder), f"{epoch}-{batch}.ckpt")


def run(
    case: Mapping[str, Any], world: int, folder: Path, saving: bool, checkpoint: Path | None = None
) -> dict[str, Any]:
    torch.manual_seed(3 if checkpoint is None else 4)  # what goes on must not depend on it
    tasks = {"side": SequenceClassification(["a", "b"]), "height": Regression(mean=0.0, std=1.0, main_metric="rmse")}
    module = MultiTaskModule(
        PerceptronEncoder(5, [6, 4]), tasks, optimizer=partial(AdamW, lr=0.02), **case.get("model", {})
    )
    sources = {"both": Points({"side": "side", "height": "height"}, 29, 0), "one": Points({"side": "side"}, 14, 1)}
    data = MultiTaskDataModule(dict(sources), **{"batch_size": 6 // world, "num_workers": 0, **case.get("data", {})})
    record, log = Record(), Log()
    last = EveryPosition(str(folder), 1) if saving else LastCheckpoint(str(folder))
    best = ModelCheckpoint(
        folder.parent / "best", "best", monitor="val/average", mode="max", enable_version_counter=False
    )
    trainer = Trainer(
        **{
            "accelerator": "cpu",
            "devices": world,
            "strategy": "ddp" if world > 1 else "auto",
            "max_epochs": EPOCHS,
            "gradient_clip_val": 0.5,
            "default_root_dir": folder,
            "logger": log,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "log_every_n_steps": 1,
            "callbacks": [record, EarlyStopping("val/average", mode="max", patience=99), best, last],
            **case.get("trainer", {}),
        }
    )
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return {
        "lines": record.lines,
        "logged": log.lines,
        "state": module.state_dict(),
        "extra": module.weighting.get_extra_state(),
        "optimizer": trainer.optimizers[0].state_dict(),
        "schedulers": [each.scheduler.state_dict() for each in trainer.lr_scheduler_configs],
        "best": float(best.best_model_score if best.best_model_score is not None else math.nan),
        "step": trainer.global_step,
    }


def chosen(folder: Path, seed: int) -> list[Path]:
    """One of the checkpoints in the middle of epochs, and one of those between them."""
    found = sorted(folder.glob("[0-9]*.ckpt"))
    between = [path for path in found if path.stem.endswith("-0")]
    return [Random(seed).choice(some) for some in ([path for path in found if path not in between], between)]


def main(folder: Path) -> None:
    world, rank = begin()
    for number, (name, case) in enumerate(CASES.items()):
        here = folder / str(world) / str(number)
        found: dict[str, Any] = {}
        try:
            found["whole"] = run(case, world, here / "whole", saving=True)
            if world == 1:
                found["unsaved"] = run(case, world, here / "unsaved", saving=False)
            for checkpoint in chosen(here / "whole", number)[number % 2 if world > 1 else 0 :: world]:
                found[checkpoint.stem] = run(case, world, here / f"from-{checkpoint.stem}", False, checkpoint)
        except Exception:
            found["error"] = traceback.format_exc()
        (folder / str(world) / f"{name}-{rank}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
