"""One step of each inner loop on two data sets of episodes: ``python adapted.py FOLDER``, on each process.

Results are pickled by process: the parameters after the step, and what an evaluation finds.
"""

import pickle
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from lightning.pytorch import Trainer
from quiet import begin

from mtl_lightning.data import Episodes, MultiTaskDataModule
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.inner_loops import FOMAML, MAML, MetaSGD, Reptile
from mtl_lightning.tasks import FewShotClassification, PrototypicalClassification, Regression
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import EqualWeighting, PCGrad

CASES: dict[str, tuple[Any, Any]] = {
    "MAML": (MAML(0.1, 2), EqualWeighting),
    "MAML-PCGrad": (MAML(0.1, 2), PCGrad),
    "MAML-at-once": (MAML(0.1, 2, vectorized=True), PCGrad),
    "FOMAML": (FOMAML(0.1, 2), EqualWeighting),
    "MetaSGD": (MetaSGD(0.1), PCGrad),
    "Reptile": (Reptile(0.1, 4), PCGrad),
    "prototypes": (None, PCGrad),
    "MAML-others": (MAML(0.1, 2), PCGrad),
}
"""Inner loop and weighting; of ``others``, numbers are learnt from sets of two data sets, by two tasks."""


class Points(DataSource):
    """Points of five kinds in three groups."""

    def __init__(self, task: str) -> None:
        super().__init__({"features": "f"}, {task: task})

    def load(self) -> dict[str, Dataset]:
        draw = torch.Generator().manual_seed(2)
        points = torch.randn(60, 3, generator=draw).tolist()
        kinds, groups = ["abcde"[i % 5] for i in range(60)], [i % 3 for i in range(60)]
        table = Dataset.from_dict(
            {
                "f": points,
                "kind": kinds,
                "size": [p[0] - p[1] for p in points],
                "group": groups,
                "wide": [p[0] + p[2] for p in points],
            }
        )
        return {"train": table, "val": table}


def train(loop: Any, weighting: Any, world: int, others: bool = False) -> dict[str, Any]:
    """The parameters after a step of four episodes of each data set, and the scores of a validation."""
    torch.manual_seed(3)
    kind = PrototypicalClassification() if loop is None else FewShotClassification(3)
    tasks = {"kind": kind, "size": Regression(0.0, 1.0, dropout=0.0), "wide": Regression(0.0, 1.0, dropout=0.0)}
    apart = {"support": ["sizes", "widths"], "support_tasks": ["wide", "size"]} if others else {"within": "group"}
    module = MultiTaskModule(
        PerceptronEncoder(3, [6]), tasks, weighting, optimizer=partial(torch.optim.SGD, lr=0.1), inner_loop=loop
    )
    data = MultiTaskDataModule(
        {"kinds": Points("kind"), "sizes": Points("size"), "widths": Points("wide")},
        batch_size=4,
        batch_size_of="step",
        num_workers=0,
        episodes={
            "kinds": Episodes(shots=1, queries=2, ways=3, evaluated=7),
            "sizes": Episodes(shots=3, queries=3, evaluated=7, **apart),
            "widths": Episodes(shots=3, queries=3, evaluated=7),
        },
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        precision="64-true",
        max_steps=1,
        val_check_interval=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, datamodule=data)
    found = {name: parameter.detach() for name, parameter in module.named_parameters()}
    scores = {f"{task}/{n}": torch.tensor(v) for task, s in module.results["val"].metrics.items() for n, v in s.items()}
    return {**found, **scores}


def main(folder: Path) -> None:
    """Trains each case."""
    world, rank = begin()
    torch.set_num_threads(1)
    disable_progress_bars()
    found = {name: train(*given, world, others="others" in name) for name, given in CASES.items()}
    (folder / str(world) / f"{rank}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
