"""Who trains: a bare PyTorch loop, and the package's step as ``mtl-lightning fit`` runs it."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, RichProgressBar
from torch import Tensor
from torch.optim import AdamW

from experiments.benchmark.workloads import Workload
from mtl_lightning.callbacks import Throughput
from mtl_lightning.data import Batch, StepBatch
from mtl_lightning.loggers import default_loggers
from mtl_lightning.module import MultiTaskModule
from mtl_lightning.weighting import EqualWeighting, GramianWeighting, Weighting

LEARNING_RATE = 1e-4
BARE_LOOP = "bare loop"


class Ones(GramianWeighting):
    """Asks for the Gramian and ignores it, so that what is measured is the price of the evidence."""

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        return torch.ones_like(losses)


WEIGHTINGS: dict[str, Callable[[Sequence[str]], Weighting]] = {"EqualWeighting": EqualWeighting, "gramian (ones)": Ones}


class BareLoop:
    """The loop that one writes without a framework: sum of the losses, backward, step.

    Args:
        workload: What to train.
        batches: Step batches, gone through again and again.
    """

    def __init__(self, workload: Workload, batches: Sequence[dict[str, Batch]]) -> None:
        self.encoder, self.tasks = workload.model()
        parameters = [*self.encoder.parameters(), *(p for task in self.tasks.values() for p in task.parameters())]
        self.optimizer = AdamW(parameters, lr=LEARNING_RATE)
        self.batches = cycle(batches)

    def train(self, steps: int) -> None:
        """Runs optimizer steps."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            self._loss(next(self.batches)).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()

    def _loss(self, batch: dict[str, Batch]) -> Tensor:
        losses = []
        for part in batch.values():
            features = self.encoder(part.inputs)
            losses += [self.tasks[name].loss(self.tasks[name](features), part.targets[name]) for name in part.targets]
        return torch.stack(losses).sum()


def fit(workload: Workload, contestant: str, batches: Iterable[StepBatch], folder: Path, log_every: int) -> None:
    """Trains for one epoch with what the command line installs, Weights & Biases apart.

    The progress bar draws as on a terminal, but to nowhere.

    Args:
        workload: What to train.
        contestant: A key of ``WEIGHTINGS``.
        batches: The epoch.
        folder: For the log and checkpoints.
        log_every: Steps between two lines of the log.
    """
    encoder, tasks = workload.model()
    module = MultiTaskModule(encoder, tasks, WEIGHTINGS[contestant], optimizer=partial(AdamW, lr=LEARNING_RATE))
    module.build()
    with open("/dev/null", "w") as nowhere:
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
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
