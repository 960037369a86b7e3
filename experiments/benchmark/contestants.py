"""Who trains, by the name in the table: plain loops, and the package's step as ``mtl-lightning fit`` runs it."""

from collections import UserList
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import torch
import torchjd.aggregation as torchjd
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, RichProgressBar
from torch import Tensor
from torch.optim import AdamW

from experiments.benchmark.loops import LEARNING_RATE, BareLoop, ExecutorLoop, Loop, TorchJDLoop
from experiments.benchmark.workloads import Batches, Workload
from mtl_lightning import weighting
from mtl_lightning.callbacks import Throughput
from mtl_lightning.cli.loggers import default_loggers
from mtl_lightning.data import StepBatch
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import EqualWeighting, GramianWeighting, Weighting

MakeLoop: TypeAlias = Callable[[Workload, Batches], Loop]
MakeWeighting: TypeAlias = Callable[[Sequence[str]], Weighting]

BARE_LOOP = "bare loop"
EQUAL = "EqualWeighting"
REFRESHED = "UPGrad, refresh_every: 10"
OF_FEATURES = "UPGrad, gradient_of: features"


class Ones(GramianWeighting):
    """Asks for the Gramian and ignores it, so that what is measured is the price of the evidence."""

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        return torch.ones_like(losses)


IN_LIGHTNING: Mapping[str, MakeWeighting] = {EQUAL: EqualWeighting, "gramian (ones)": Ones}
BASELINES: Mapping[str, MakeLoop] = {EQUAL: partial(ExecutorLoop, weighting=EqualWeighting), BARE_LOOP: BareLoop}
GRAMIAN_METHODS: Mapping[str, MakeLoop] = {
    name: partial(ExecutorLoop, weighting=getattr(weighting, name))
    for name in ("UPGrad", "MGDA", "NashMTL", "CAGrad", "PCGrad", "AlignedMTL")
}
MANY_TASKS: Mapping[str, MakeLoop] = {
    BARE_LOOP: BareLoop,
    **{
        name: partial(ExecutorLoop, weighting=getattr(weighting, name))
        for name in (EQUAL, "RLW", "GLS", "IMTLG", "AlignedMTL")
    },
    **{
        f"TorchJD's {name}": partial(TorchJDLoop, aggregator=getattr(torchjd, name)) for name in ("IMTLG", "AlignedMTL")
    },
}
OPTIONS: Mapping[str, MakeLoop] = {
    REFRESHED: partial(ExecutorLoop, weighting=weighting.UPGrad, refresh_every=10),
    OF_FEATURES: partial(ExecutorLoop, weighting=weighting.UPGrad, gradient_of="features"),
}
TORCHJD: Mapping[str, MakeLoop] = {
    "TorchJD's UPGrad": partial(TorchJDLoop, aggregator=torchjd.UPGrad),
    "TorchJD's UPGrad, parallel_chunk_size=1": partial(TorchJDLoop, aggregator=torchjd.UPGrad, chunk=1),
}


def train_plainly(workload: Workload, batches: Batches, make: MakeLoop) -> None:
    """Trains on each of the batches once."""
    make(workload, batches).train(len(batches))


def train_in_lightning(workload: Workload, batches: Batches, contestant: str) -> None:
    """Trains for one epoch."""
    with TemporaryDirectory() as folder:
        epoch = UserList(batches)  # Lightning takes a plain list for a list of loaders
        fit(workload, contestant, epoch, Path(folder), log_every=1)


def fit(workload: Workload, contestant: str, batches: Iterable[StepBatch], folder: Path, log_every: int) -> None:
    """Trains for one epoch with what the command line installs, Weights & Biases apart.

    The progress bar draws as on a terminal, but to nowhere.

    Args:
        workload: What to train.
        contestant: A key of ``IN_LIGHTNING``.
        batches: The epoch.
        folder: For the log and checkpoints.
        log_every: Steps between two lines of the log.
    """
    encoder, tasks = workload.model()
    module = MultiTaskModule(encoder, tasks, IN_LIGHTNING[contestant], optimizer=partial(AdamW, lr=LEARNING_RATE))
    module.build()
    with open("/dev/null", "w") as nowhere:
        trainer = Trainer(
            accelerator=workload.device,
            devices=1,
            precision="bf16-mixed" if workload.bf16 else "32-true",
            max_epochs=1,
            default_root_dir=folder,
            logger=default_loggers(folder, "benchmark", "benchmark", "off", tensorboard=False),
            callbacks=[
                Throughput(),
                LearningRateMonitor("step"),
                ModelCheckpoint(folder, monitor="val/average", mode="max", save_last=True),
                RichProgressBar(console_kwargs={"file": nowhere, "force_terminal": True, "width": 160}),
            ],
            enable_model_summary=False,
            log_every_n_steps=log_every,
        )
        trainer.fit(module, batches)
