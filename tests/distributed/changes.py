"""Trains with callbacks that copy, freeze, prune, replace or average parameters: ``python changes.py FOLDER``.

On each process, each case is trained once as a whole, and every other one, on two processes the others, once from a
checkpoint of the second of its three epochs. Results are pickled by process.
"""

import pickle
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    EMAWeightAveraging,
    ModelCheckpoint,
    ModelPruning,
    StochasticWeightAveraging,
)
from quiet import begin
from resume import EveryPosition, Points
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, OneCycleLR

from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.tasks import Regression, SequenceClassification
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import DWA, FAMO, EqualWeighting, MoCo, UPGrad


class UnfreezeByGroup(BaseFinetuning):
    """The encoder from the second epoch on, with a learning rate of its own."""

    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.encoder)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.encoder, optimizer, lr=0.01)


class Unfreeze(Callback):
    """The encoder from the second epoch on, by ``requires_grad_`` alone."""

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        pl_module.encoder.requires_grad_(False)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            pl_module.encoder.requires_grad_(True)


class Freeze(Callback):
    """The encoder no more from the second epoch on."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            pl_module.encoder.requires_grad_(False)


class Replace(Callback):
    """Another layer, with random weights, in the second epoch; both when the run is resumed later."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            pl_module.encoder.layers[0].weight = nn.Parameter(torch.randn_like(pl_module.encoder.layers[0].weight))


class NormedPerceptron(PerceptronEncoder):
    """With running statistics."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.layers.append(nn.BatchNorm1d(self.features))


def falling(step: int) -> float:
    return 1 / (1 + step)


swa = partial(StochasticWeightAveraging, swa_lrs=0.01, swa_epoch_start=1, annealing_epochs=2)
prune = partial(ModelPruning, "l1_unstructured", amount=0.3, use_lottery_ticket_hypothesis=False)
CASES: dict[str, tuple[Callable[[], Callback], dict[str, Any]]] = {
    "group, loss": (UnfreezeByGroup, {"weighting": EqualWeighting}),
    "group, gramian, schedule": (
        UnfreezeByGroup,
        {"weighting": UPGrad, "lr_scheduler": partial(LambdaLR, lr_lambda=falling)},
    ),
    "group, jacobian": (
        UnfreezeByGroup,
        {"weighting": MoCo, "lr_scheduler": partial(OneCycleLR, max_lr=0.05, total_steps=60)},
    ),
    "backbone, gramian": (
        partial(BackboneFinetuning, unfreeze_backbone_at_epoch=1),
        {"weighting": UPGrad, "lr_scheduler": partial(ExponentialLR, gamma=0.8), "lr_interval": "epoch"},
    ),
    "plain, refreshed": (Unfreeze, {"weighting": UPGrad, "refresh_every": 2}),
    "plain, features": (Unfreeze, {"weighting": UPGrad, "gradient_of": "features"}),
    "plain, pattern": (Unfreeze, {"weighting": UPGrad, "gradient_of": "encoder.layers.3.*"}),
    "plain, jacobian, schedule": (Unfreeze, {"weighting": MoCo, "lr_scheduler": partial(LambdaLR, lr_lambda=falling)}),
    "plain, second pass": (Unfreeze, {"weighting": FAMO}),
    "frozen later, jacobian": (Freeze, {"weighting": MoCo}),
    "frozen later, looked at": (Freeze, {"weighting": DWA, "refresh_every": 2}),
    "replaced, jacobian": (Replace, {"weighting": MoCo}),
    "average of steps": (partial(EMAWeightAveraging, decay=0.9), {"weighting": UPGrad}),
    "average of steps, state": (partial(EMAWeightAveraging, decay=0.9), {"weighting": MoCo}),
    "average of epochs": (swa, {"weighting": DWA}),
    "average of epochs, statistics": (swa, {"weighting": UPGrad, "encoder": NormedPerceptron}),
    "pruned": (partial(prune, make_pruning_permanent=False), {"weighting": UPGrad}),
    "pruned for good": (prune, {"weighting": EqualWeighting}),
    "pruned, lottery ticket": (partial(ModelPruning, "l1_unstructured", amount=0.3), {"weighting": UPGrad}),
}


RESUMED = {1: [*list(CASES)[::2], "backbone, gramian", "replaced, jacobian"], 2: list(CASES)[1::2]}
"""By the number of processes, which each kind is resumed on."""

TESTED = ("average", "pruned")
"""How cases begin that are validated and, at their best, tested."""


class Tested(Points):
    """With a test split."""

    def load(self) -> dict[str, Dataset]:
        return super().load() | {"test": self._table(9, 1)}


class Course(Callback):
    """The size of the encoder's weights at the end of each epoch, whether they train, and the learning rates."""

    def __init__(self) -> None:
        self.epochs: list[list[Any]] = []
        self.weights: dict[str, dict[str, torch.Tensor]] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.weights["start"] = copied(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = list(pl_module.encoder.parameters())  # type: ignore[union-attr]
        rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
        sizes = {name: value.double().abs().sum() for name, value in copied(pl_module.encoder).items()}  # type: ignore[arg-type]
        total = sum(float(sizes[name]) for name, _ in pl_module.encoder.named_parameters())  # type: ignore[union-attr]
        self.epochs.append([total, weights[0].requires_grad, rates])
        self.weights.setdefault("after_epoch", copied(pl_module))
        self.weights["trained"] = copied(pl_module)


def copied(module: nn.Module) -> dict[str, torch.Tensor]:
    return in_effect(module.state_dict())


def in_effect(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of a state; of what is pruned, without the values behind a mask, on which nothing depends."""
    tensors = {name: value.clone() for name, value in state.items() if isinstance(value, torch.Tensor)}
    for name in [name for name in tensors if name.endswith("_orig")]:
        tensors[name] *= tensors[f"{name.removesuffix('_orig')}_mask"]
    return tensors


def run(case: str, world: int, folder: Path, checkpoint: Path | None = None) -> dict[str, Any]:
    torch.manual_seed(3)
    make, options = CASES[case]
    tasks = {"side": SequenceClassification(dropout=0.0), "height": Regression(main_metric="rmse")}
    encoder = options.get("encoder", PerceptronEncoder)(5, [6, 4])
    settings = {name: value for name, value in options.items() if name != "encoder"}
    module = MultiTaskModule(encoder, tasks, optimizer=partial(AdamW, lr=0.02), **settings)
    sources = {"both": Tested({"side": "side", "height": "height"}, 29, 0), "one": Tested({"side": "side"}, 14, 1)}
    data = MultiTaskDataModule(dict(sources), batch_size=6 // world, num_workers=0)
    course = Course()
    best = ModelCheckpoint(folder, "best", monitor="val/average", mode="max", enable_version_counter=False)
    is_tested = case.startswith(TESTED)
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        max_epochs=3,
        gradient_clip_val=0.5,
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if is_tested else 0,
        callbacks=[make(), course, *([best] if is_tested else []), EveryPosition(str(folder), 12)],
    )
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    ended = copied(module)
    groups = [len(group["params"]) for group in trainer.optimizers[0].param_groups]
    found = {"epochs": course.epochs, "state": ended, "optimizer": trainer.optimizers[0].state_dict(), "groups": groups}
    found |= course.weights
    if checkpoint is None and is_tested:
        trainer.test(module, datamodule=data, ckpt_path=best.best_model_path, verbose=False, weights_only=True)
        found["tested"] = dict(trainer.callback_metrics)
        found["best"] = in_effect(torch.load(best.best_model_path, weights_only=True)["state_dict"])
        found["evaluated"] = copied(module)
    return found


def main(folder: Path) -> None:
    world, rank = begin()
    disable_progress_bars()
    for number, case in enumerate(CASES):
        here = folder / str(world) / str(number)
        found: dict[str, Any] = {}
        try:
            found["whole"] = run(case, world, here / "whole")
            if case in RESUMED[world]:
                found["resumed"] = run(case, world, here / "resumed", here / "whole" / "2-2.ckpt")
        except Exception:
            found["error"] = traceback.format_exc()
        (folder / str(world) / f"{case}-{rank}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
