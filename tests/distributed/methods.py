"""Trains every weighting on small batches made by hand; run as ``python methods.py FOLDER`` by each process of a group.

One process trains on the joined batches, two processes on uneven parts of them. What each run ends with is written to
``FOLDER/<number of processes>/<case>.pt``, by the first process.
"""

import inspect
import sys
import traceback
from collections import UserList
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from quiet import begin
from torch import Tensor, nn
from torch.optim import AdamW

from mtl_lightning import MultiTaskModule, weighting
from mtl_lightning.data import Batch
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.sharing import HybridSharing, LoRA, MTLLoRA, SoftSharing, TopKRouting
from mtl_lightning.tasks import Regression, SequenceClassification
from mtl_lightning.weighting import Weighting

TASKS = ("a", "b", "c")
DATASETS = {"first": ("a", "b"), "second": ("c", "a")}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "FixedWeighting": {"weights": {"a": 1.0, "b": 0.5, "c": 2.0}},
    "PIVRG": {"baselines": {"a": 0.4, "b": 1.1, "c": 0.9}},
    "TorchJDAggregator": {"name": "UPGrad"},
    "TorchJDWeighting": {"name": "UPGradWeighting"},
    "TorchJDScalarizer": {"name": "GeometricMean"},
}
METHODS: dict[str, type[Weighting]] = {
    name: value
    for name, value in vars(weighting).items()
    if inspect.isclass(value) and issubclass(value, Weighting) and value is not Weighting
    if not inspect.isabstract(value)
}
ROUTED = partial(TopKRouting, num_experts=4, noise=0.0, balance=0.0, z_loss=0.0)
"""Without noise, which each process draws for itself, and terms, which are those of its rows."""
LORA = partial(LoRA, rank=2, shared_rank=2)
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "weights kept for 3 steps": ("UPGrad", {"refresh_every": 3}),
    "gradient of the last layer": ("CAGrad", {"gradient_of": "encoder.layers.3.*"}),
    "gradient of the features": ("NashMTL", {"gradient_of": "features"}),
    "weights for each layer": ("GradVac", {"gradient_of": "layers"}),
    "weights for each layer, averaged": ("CRMOGM", {"gradient_of": "layers"}),
    "weighted heads": ("MGDA", {"head_gradients": "weighted"}),
    "conflicts of a loss weighting": ("UncertaintyWeighting", {"refresh_every": 2}),
    "experts chosen by example": ("UPGrad", {"sharing": ROUTED}),
    "experts chosen by example, loss weighting": ("DWA", {"sharing": ROUTED}),
    "a LoRA per task, compared by the shared one": ("UPGrad", {"sharing": LORA, "gradient_of": "*lora*"}),
    "matrices that tasks transform": ("DWA", {"sharing": partial(MTLLoRA, rank=2)}),
    "stages of groups": ("CAGrad", {"sharing": partial(HybridSharing, shared_stages=1, groups=[["a", "b"], ["c"]])}),
    "encoders tied by a term": ("UPGrad", {"sharing": partial(SoftSharing, coefficient=0.1)}),
    "encoders tied by a term, loss weighting": ("DWA", {"sharing": partial(SoftSharing, norm="trace")}),
    "one data set a step": ("UPGrad", {"alternating": True}),
    "one data set a step, several batches": ("SDMGrad", {"alternating": True}),
    "several batches, weights kept for 2 steps": ("MoDo", {"refresh_every": 2, "head_gradients": "weighted"}),
    "several batches, gradient of the last layer": ("SDMGrad", {"gradient_of": "encoder.layers.3.*"}),
    "validation batches, weighted heads": ("AutoLambda", {"head_gradients": "weighted"}),
    "validation batches, gradient of the last layer": ("AutoLambda", {"gradient_of": "encoder.layers.3.*"}),
    "validation batches, weights kept for 2 steps": ("MOML", {"refresh_every": 2}),
    "one data set a step, validation batches": ("AutoLambda", {"alternating": True}),
    "one data set a step, perturbed": ("FSMTL", {"alternating": True}),
    "perturbed, weighted heads": ("SAMO", {"head_gradients": "weighted"}),
    "one data set a step, Jacobian": ("MoCo", {"alternating": True}),
}
CASES = {**{name: (name, {}) for name in METHODS}, **OPTIONS}
EPOCHS, SAVED, STEPS, ACCUMULATED, ROWS = 3, 2, 1, 2, 7


def main(folder: Path) -> None:
    """Trains all cases one after another."""
    world, rank = begin()
    for number, (case, (method, options)) in enumerate(CASES.items()):
        try:
            found = train(method, dict(options), world, rank, folder / str(world) / f"run-{number}")
        except Exception:
            found = {"error": traceback.format_exc()}
        if rank == 0:
            torch.save(found, folder / str(world) / f"{case}.pt")
    torch.save(running_statistics(world, rank, folder), folder / str(world) / f"running statistics {rank}.pt")


def train(method: str, options: dict[str, Any], world: int, rank: int, folder: Path) -> dict[str, Any]:
    """The state at the end and, on several processes, that of a second run which goes on from a checkpoint."""
    datasets = {"first": TASKS} if options.get("gradient_of") == "features" else DATASETS
    alternating = options.pop("alternating", False)
    make = partial(METHODS[method], **ARGUMENTS.get(method, {}))
    size = STEPS * ACCUMULATED * METHODS[method].batches_per_step
    found = {"end": fit(make, options, batches(datasets, alternating, world, rank, size), world, folder)}
    if world > 1:
        checkpoint = str(folder / f"epoch={SAVED - 1}.ckpt")
        steps = batches(datasets, alternating, world, rank, size)
        found["resumed"] = fit(make, options, steps, world, folder / "again", checkpoint)
    return found


def fit(
    make: Callable[..., Weighting],
    options: dict[str, Any],
    steps: list[dict[str, Batch]],
    world: int,
    folder: Path,
    checkpoint: str | None = None,
    epochs: int = EPOCHS,
) -> dict[str, Any]:
    """A step an epoch of AdamW with accumulation and clipping, in float64; a checkpoint after two."""
    module = model(make, options)
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        precision="64-true",
        max_epochs=epochs,
        accumulate_grad_batches=ACCUMULATED,
        gradient_clip_val=0.3,
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        log_every_n_steps=5,
        callbacks=[ModelCheckpoint(folder, "{epoch}", every_n_epochs=SAVED, enable_version_counter=False)],
    )
    trainer.fit(module, UserList(steps), ckpt_path=checkpoint, weights_only=True)
    assert trainer.global_step == epochs * STEPS
    assert module.step is not None
    return {
        "state": {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)},
        "extra": module.weighting.get_extra_state(),
        "weights": {task: float(weight) for task, weight in module.step.weights.items()},
        "terms": {name: float(term) for name, term in (module.step.terms or {}).items()},
    }


def model(make: Callable[..., Weighting], options: dict[str, Any]) -> MultiTaskModule:
    """Three tasks on a perceptron, from the same random numbers each time, in float64."""
    torch.manual_seed(1)
    tasks = {
        "a": Regression(dropout=0.0),
        "b": SequenceClassification(["x", "y", "z"], dropout=0.0),
        "c": Regression(dropout=0.0),
    }
    tasks["a"].adapt([0.0, 1.0])
    tasks["c"].adapt([0.0, 1.0])
    options = {"encoder": PerceptronEncoder(5, [6, 4]), **options}
    module = MultiTaskModule(tasks=tasks, weighting=make, optimizer=partial(AdamW, lr=0.02), **options)
    module.build()
    return module.double()  # Lightning does so only after it has restored a checkpoint


def running_statistics(world: int, rank: int, folder: Path) -> dict[str, Tensor]:
    """What this process ends with in the buffers of an encoder with BatchNorm."""
    encoder = PerceptronEncoder(5, [6, 4])
    encoder.layers.append(nn.BatchNorm1d(4))
    found = fit(METHODS["UPGrad"], {"encoder": encoder}, batches(DATASETS, False, world, rank), world, folder / "norm")
    return {name: value for name, value in found["state"].items() if "running" in name}


def batches(
    datasets: dict[str, tuple[str, ...]], alternating: bool, world: int, rank: int, size: int = STEPS * ACCUMULATED
) -> list[dict[str, Batch]]:
    """The part of this process in every step: with two, the first one takes four rows of seven."""
    random, validation = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    plan = []
    for number in range(size):
        step = {name: labelled(tasks, number, random) for name, tasks in datasets.items()}
        if alternating:
            name = list(datasets)[number % 2]
            step = {name: step[name]}
        beside = {name: labelled(datasets[name], number, validation) for name in step}
        plan.append(parts(step, world, rank))
        if number % ACCUMULATED or alternating:
            for name, found in parts(beside, world, rank).items():
                plan[-1][name] = plan[-1][name]._replace(validation=found)
    return plan


def parts(step: dict[str, tuple[Tensor, dict[str, Tensor]]], world: int, rank: int) -> dict[str, Batch]:
    """This process's part of what is drawn in one step."""
    totals = {task: sum(count(t[task]).sum() for _, t in step.values() if task in t) for task in TASKS}
    rows = torch.arange(ROWS)[rank::world]
    return {name: part(x, targets, rows, totals, world) for name, (x, targets) in step.items()}


def labelled(tasks: tuple[str, ...], number: int, random: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Examples [ROWS, 5] with labels; in every third step, only even rows have those of the first task."""
    examples = torch.randn(ROWS, 5, generator=random, dtype=torch.float64)
    targets = {
        "a": torch.randn(ROWS, generator=random, dtype=torch.float64),
        "b": torch.randint(3, (ROWS,), generator=random),
        "c": torch.randn(ROWS, generator=random, dtype=torch.float64) * 5,
    }
    if number % 3 == 0:
        for task in tasks[:1]:
            targets[task][1::2] = torch.nan if targets[task].is_floating_point() else -100
    return examples, {task: targets[task] for task in tasks}


def count(targets: Tensor) -> Tensor:
    """True where there is a label."""
    return ~targets.isnan() if targets.is_floating_point() else targets >= 0


def part(examples: Tensor, targets: dict[str, Tensor], rows: Tensor, totals: dict[str, Any], world: int) -> Batch:
    """Some rows of a joined batch."""
    counts = {task: int(count(values[rows]).sum()) for task, values in targets.items()}
    return Batch(
        inputs={"features": examples[rows]},
        targets={task: values[rows] for task, values in targets.items()},
        counts=counts,
        shares={task: number * world / int(totals[task]) for task, number in counts.items()},
        examples=rows.tolist(),
        num_tokens=len(rows),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
