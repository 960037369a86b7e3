"""Counts what steps send; run as ``python volumes.py FOLDER`` by each process of a group.

Each writes its counts to ``FOLDER/<number of processes>/<rank>.json``, by case.
"""

import csv
import json
import sys
import warnings
from collections import UserList
from os import environ
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from mtl_lightning import MultiTaskModule
from mtl_lightning.backward import Executor, evidence
from mtl_lightning.backward.traffic import TRAFFIC
from mtl_lightning.data import Batch
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.tasks import Regression
from mtl_lightning.weighting import EqualWeighting, UPGrad

TASKS = ["a", "b", "c"]
WIDTHS = (5, 7, 3)
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (EqualWeighting, {}),
    "rows": (UPGrad, {}),
    "features": (UPGrad, {"gradient_of": "features"}),
    "known_weights": (UPGrad, {"refresh_every": 1000}),
    "rows of some": (UPGrad, {}),
}


def count(weighting: Any, options: dict[str, Any], some: bool) -> tuple[int, float]:
    """Exchanges and bytes of the third step; in the first, processes agree on what the tasks use, once for all."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(*WIDTHS[:2]), nn.Tanh(), nn.Linear(*WIDTHS[1:]))
    heads = nn.ModuleDict({task: nn.Linear(WIDTHS[-1], 1) for task in TASKS})
    own = {task: head.parameters() for task, head in heads.items()}
    if some:
        options = {"gradient_of": list(encoder[2].parameters())}
    executor = Executor(weighting(TASKS), encoder.parameters(), own, **options)
    for _ in range(3):
        before = TRAFFIC.exchanges, TRAFFIC.bytes
        features = encoder(torch.randn(4, WIDTHS[0]))
        losses = {task: head(features).square().mean() for task, head in heads.items()}
        executor.add(losses, features=features, complete=TASKS)
        executor.backward(executor.combine().objective)
    return TRAFFIC.exchanges - before[0], TRAFFIC.bytes - before[1]


def logged(folder: Path, world: int, scattered: bool) -> dict[str, list[float]]:
    """What a run of four optimizer steps of two batches logs in every second."""
    tasks = {task: Regression(dropout=0.0) for task in TASKS}
    for task in tasks.values():
        task.adapt([0.0, 1.0])
    module = MultiTaskModule(PerceptronEncoder(WIDTHS[0], WIDTHS[1:]), tasks, UPGrad)
    module.build()
    targets = dict.fromkeys(TASKS, torch.ones(4))
    ones = dict.fromkeys(TASKS, 1.0)
    batch = Batch({"features": torch.ones(4, 5)}, targets, dict.fromkeys(TASKS, 4), ones, list(range(4)), 4)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    logger = CSVLogger(folder, version="")
    trainer = Trainer(
        accelerator="cpu", devices=world, strategy="ddp", max_epochs=1, accumulate_grad_batches=2,
        log_every_n_steps=2, logger=logger, **quiet,
    )  # fmt: skip
    with patch.object(evidence, "adds_up_parts_sooner", return_value=scattered):
        trainer.fit(module, UserList([{"all": batch}] * 8))
    if dist.get_rank():
        return {}
    rows = list(csv.DictReader(Path(logger.log_dir, "metrics.csv").read_text().splitlines()))
    names = ("train/bytes_sent", "train/exchanges")
    return {name: [float(row[name]) for row in rows if row.get(name)] for name in names}


def main(folder: Path) -> None:
    """Counts in all cases one after another."""
    warnings.filterwarnings("ignore")
    world, rank = int(environ["WORLD_SIZE"]), int(environ["RANK"])
    found: dict[str, Any] = {
        f"logged {kind}": logged(folder / kind, world, scattered=kind == "scattered_rows")
        for kind in ("rows", "scattered_rows")
    }
    found |= {case: count(weighting, options, case == "rows of some") for case, (weighting, options) in CASES.items()}
    (folder / str(world) / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
