"""Trains with a sharded encoder; run as ``python sharded.py FOLDER`` by each of two processes.

Every weighting that needs no whole rows finds gradients of an encoder that is whole and of one that is sharded. Some
cases are trained to the end by Lightning, with each strategy. What the first process found is written to
``FOLDER/2/<name>.pt``. Run by one process after that, it loads what two have written.
"""

import sys
import traceback
from collections import UserList
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import StrategyRegistry
from methods import ARGUMENTS, CASES, DATASETS, LORA, METHODS, batches, model
from quiet import begin
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from mtl_lightning import MultiTaskModule
from mtl_lightning.backward import Executor, forget
from mtl_lightning.checkpoints import AtomicCheckpointIO
from mtl_lightning.data import Batch
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.training.fsdp2 import FSDP2Strategy, shard
from mtl_lightning.weighting import JacobianWeighting

NAMES = [
    name
    for name, cls in METHODS.items()
    if not (issubclass(cls, JacobianWeighting) or cls.perturbs_parameters)  # these need whole parameters
]
TYPES = {torch.float64: 2, torch.float32: 1}
"""And how many steps are taken in each: what a step leaves to the next is looked at in float64."""
TRAINED: dict[str, tuple[str, dict[str, Any]]] = {
    "weights kept for 2 steps, stages of groups": ("CAGrad", {"refresh_every": 2, **CASES["stages of groups"][1]}),
    "uncertainty": CASES["UncertaintyWeighting"],
    "a LoRA per task": ("UPGrad", {"sharing": LORA, "gradient_of": "*lora*"}),
}
MORE = "uncertainty"
"""The case that is resumed with other strategies, and saved in parts."""
StrategyRegistry.register("gathered once", FSDP2Strategy, gather_once=True)
OFTEN = "weights kept for 2 steps, stages of groups"
"""The case that is evaluated before training, after each epoch and from its last checkpoint; others are in the end."""
EPOCHS, SAVED = 2, 0


def main(folder: Path) -> None:
    """All of it, one after another."""
    world, rank = begin()
    parts: dict[str, Callable[[], dict[str, Any]]] = {"gradients": partial(gradients, rank)}
    parts |= {name: partial(trained, name, rank, folder / name) for name in TRAINED}
    if world == 1:
        parts = {"loaded": partial(loaded, folder / MORE)}
    torch.distributed.init_process_group("gloo")
    for name, part in parts.items():
        found: dict[str, Any]
        try:
            found = part()
        except Exception:
            found = {"error": traceback.format_exc()}
        torch.save(found, folder / str(world) / f"{name}-{rank}.pt")


# -- gradients: the executor alone -------------------------------------------------------------------------------------
def gradients(rank: int) -> dict[str, Any]:
    """Of each weighting and type: gradients with a whole encoder and with a sharded one; the shapes of what is held."""
    found: dict[str, Any] = {}
    for dtype in TYPES:
        whole = model(METHODS["EqualWeighting"], {"encoder": PerceptronEncoder(5, [7, 4])}).to(dtype)
        sharded = deepcopy(whole)
        shard(sharded.encoder, init_device_mesh("cpu", (2,)), torch.device("cpu"))
        for name in NAMES:
            found[f"{name} {dtype}"] = [steps(name, each, dtype, rank) for each in (whole, sharded)]
    found["bfloat16"] = in_bfloat16(rank)
    found["sparse"] = with_a_table()
    return found | {"held": [list(parameter.to_local().shape) for parameter in sharded.encoder.parameters()]}


def in_bfloat16(rank: int) -> list[list[Tensor]]:
    """With a whole encoder and with one whose parameters are gathered in bfloat16, both under autocasting."""
    whole = model(METHODS["EqualWeighting"], {}).float()
    sharded = deepcopy(whole)
    shard(sharded.encoder, init_device_mesh("cpu", (2,)), torch.device("cpu"), half=True)
    with torch.autocast("cpu", torch.bfloat16):
        return [steps("UPGrad", each, torch.float32, rank) for each in (whole, sharded)]


def with_a_table() -> list[list[Tensor]]:
    """With a whole encoder and with a sharded one, of a head whose gradients are sparse."""
    whole = PerceptronEncoder(5, [7, 4]).double()
    sharded = deepcopy(whole)
    shard(sharded, init_device_mesh("cpu", (2,)), torch.device("cpu"))
    found = []
    for encoder in (whole, sharded):
        table = nn.Embedding.from_pretrained(torch.ones(3, 4).double(), freeze=False, sparse=True)
        executor = Executor(METHODS["UPGrad"](["a"]), encoder.parameters(), {"a": table.parameters()})
        features = encoder({"features": torch.ones(2, 5).double()}).pooled
        executor.add({"a": (features * table(torch.tensor([0, 2]))).sum().square()})
        executor.backward(executor.combine().objective)
        gradient = table.weight.grad
        assert gradient is not None and gradient.is_sparse
        found.append([*(full(p.grad) for p in encoder.parameters() if p.grad is not None), gradient.to_dense()])
    return found


def steps(name: str, module: MultiTaskModule, dtype: torch.dtype, rank: int) -> list[Tensor]:
    """What one or two steps write, in which processes lack some labels."""
    torch.manual_seed(0)
    weighting = METHODS[name](list("abc"), **ARGUMENTS.get(name, {}))
    own = {task: list(head.parameters()) for task, head in module.heads.items()}
    executor = Executor(weighting, module.encoder.parameters(), own)
    parameters = [*module.encoder.parameters(), *module.heads.parameters(), *weighting.parameters()]
    found = []
    taken = weighting.batches_per_step
    for number, step in enumerate(batches(DATASETS, False, 2, rank, TYPES[dtype] * taken)):
        executor.start_epoch(number)
        for part in step.values():
            losses = module.losses([converted(part, dtype)], of_all=executor.is_sharded)
            executor.add(losses.losses, losses.shares)
        for part in step.values() if executor.takes_validation else ():
            beside = module.losses([converted(part, dtype)], of_all=executor.is_sharded)
            executor.add_validation({task: 2 * loss for task, loss in beside.losses.items()}, beside.shares)
        executor.backward(executor.combine(last=(number + 1) % taken == 0).objective)
        if (number + 1) % taken:
            continue
        if weighting.needs_losses_after:
            with torch.no_grad():
                again = [module.losses([converted(part, dtype)]) for part in step.values()]
                executor.finish_step((each.losses, each.shares) for each in again)
        found += [full(p.grad) for p in parameters if p.grad is not None]
        executor.finish_validation(dict.fromkeys("abc", 1.0))
        forget(parameters)
    return found


def converted(part: Batch, dtype: torch.dtype) -> Batch:
    def to(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in values.items()}

    return part._replace(inputs=to(part.inputs), targets=to(part.targets))


def full(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).clone()


# -- whole runs by Lightning -------------------------------------------------------------------------------------------
class BadLoss(Callback):
    """In one step of the last epoch, a label of one process is not finite."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == EPOCHS - 1 and batch_idx == 1 and self.rank == 1:
            batch["first"].targets["a"][0] = torch.inf


class Unfreeze(Callback):
    """One parameter of the encoder trains in the last epoch alone."""

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if stage == "fit":
            pl_module.encoder.layers[0].weight.requires_grad_(False)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch == EPOCHS - 1:
            pl_module.encoder.layers[0].weight.requires_grad_(True)


def trained(case: str, rank: int, folder: Path) -> dict[str, Any]:
    """The last checkpoint with DDP, sharded, and sharded and resumed from the one before; of one case more."""
    method, options = TRAINED[case]
    make = partial(METHODS[method], **ARGUMENTS.get(method, {}))
    found = {}
    runs = [("ddp", "ddp", None), ("fsdp2", "fsdp2", None), ("resumed", "fsdp2", "fsdp2")]
    if case == MORE:
        runs += [("parts", "fsdp2_in_parts", None), ("parts from parts", "fsdp2_in_parts", "parts")]
        runs += [
            ("fsdp2 from ddp", "fsdp2", "ddp"),
            ("ddp from fsdp2", "ddp", "fsdp2"),
            ("ddp from parts", "ddp", "parts"),
        ]
    if case == OFTEN:
        runs += [("gathered once", "gathered once", None)]
    for name, strategy, start in runs:
        module = model(make, options)
        checkpoint = None if start is None else folder / start / f"epoch={SAVED}.ckpt"
        found[name] = fit(module, strategy, rank, folder / name, checkpoint, case == OFTEN)
    return found


def fit(
    module: MultiTaskModule, strategy: str, rank: int, folder: Path, start: Path | None, often: bool
) -> dict[str, Any]:
    """Trains with accumulation and clipping, unfreezes a parameter, skips a step, and evaluates.

    One process has no second batch to evaluate.
    """
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy=strategy,
        precision="64-true",
        max_epochs=EPOCHS,
        accumulate_grad_batches=2,
        gradient_clip_val=0.3,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=5,
        num_sanity_val_steps=2 if often else 0,
        check_val_every_n_epoch=1 if often else EPOCHS,
        callbacks=[
            BadLoss(rank),
            Unfreeze(),
            ModelCheckpoint(
                folder,
                "{epoch}",
                save_top_k=-1,
                save_on_train_epoch_end=not often,
                enable_version_counter=False,
            ),
        ],
    )
    evaluated = UserList([*batches(DATASETS, False, 2, rank, 1), {} if rank else batches(DATASETS, False, 2, 0, 2)[1]])
    trainer.fit(module, UserList(batches(DATASETS, False, 2, rank)), evaluated, ckpt_path=start, weights_only=True)
    last = folder / f"epoch={EPOCHS - 1}.ckpt"
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
    if often or strategy == "fsdp2_in_parts":
        (metrics,) = trainer.validate(module, evaluated, ckpt_path=last, verbose=False, weights_only=True)
    trainer.strategy.barrier()
    saved = AtomicCheckpointIO().load_checkpoint(last)
    kept = {name: saved[name] for name in ("state_dict", "optimizer_states", "global_step")}
    kept |= {"executor": saved["mtl_lightning"]["executor"]}
    return kept | {"metrics": metrics, "held": [p.numel() for p in held(module)]}


class States(Callback):
    """What was loaded, before a step is made."""

    found: dict[str, Any]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        strategy = trainer.strategy
        states = [deepcopy(strategy.optimizer_state(each)) for each in trainer.optimizers]
        self.found = {"state_dict": deepcopy(strategy.lightning_module_state_dict()), "optimizer_states": states}
        trainer.should_stop = True
        trainer.fit_loop.max_epochs = 0


def loaded(folder: Path) -> dict[str, Any]:
    """What one process resumes from that two have written."""
    method, options = TRAINED[MORE]
    found = {}
    for name in ("parts", "fsdp2"):
        states = States()
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            strategy="fsdp2",
            precision="64-true",
            max_epochs=EPOCHS,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[states],
        )
        module = model(METHODS[method], options)
        start = folder / name / f"epoch={SAVED}.ckpt"
        trainer.fit(module, UserList(batches(DATASETS, False, 1, 0)), ckpt_path=start, weights_only=True)
        saved = AtomicCheckpointIO().load_checkpoint(start)
        found[name] = [states.found, {key: saved[key] for key in states.found}]
    return found


def held(module: MultiTaskModule) -> Iterator[Tensor]:
    for parameter in module.encoder.parameters():
        yield parameter.to_local() if isinstance(parameter, DTensor) else parameter


if __name__ == "__main__":
    assert "fsdp2" in StrategyRegistry.available_strategies()
    main(Path(sys.argv[1]))
