"""Small models whose tasks read each other, and batches for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.chains import Link
from mtl_lightning.data import Batch
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.tasks import Regression, SequenceClassification, Task
from mtl_lightning.training.module import MultiTaskModule

LABELS = ["no", "yes"]
FEATURES, WIDTH, SIZE = 3, 5, 12


def binary(**options: Any) -> SequenceClassification:
    """A two-label task without dropout."""
    return SequenceClassification(**{"labels": LABELS, "dropout": 0.0, **options})


def number(mean: float = 0.0, std: float = 1.0) -> Regression:
    """A regression without dropout."""
    return Regression(mean, std, dropout=0.0)


def model_of(chain: Mapping[str, Link], tasks: Mapping[str, Task], seed: int = 0, **options: Any) -> MultiTaskModule:
    """A built model in double precision: a perceptron of width 5 on 3 numbers."""
    torch.manual_seed(seed)
    encoder = PerceptronEncoder(in_features=FEATURES, hidden=[WIDTH])
    made = MultiTaskModule(encoder, dict(tasks), chain=dict(chain), **options)
    made.build()
    return made.double()


def batch_of(targets: Mapping[str, Tensor], seed: int = 1) -> Batch:
    """A batch with these targets [B]; -100 and NaN are missing labels."""
    size = len(next(iter(targets.values())))
    inputs = torch.randn(size, FEATURES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    counts = {
        task: int((~(found.isnan() if found.is_floating_point() else found < 0)).sum())
        for task, found in targets.items()
    }
    shares = {task: float(count > 0) for task, count in counts.items()}
    return Batch({"features": inputs}, dict(targets), counts, shares, list(range(size)), size)


def random_labels(tasks: Sequence[str], seed: int = 2) -> dict[str, Tensor]:
    """Labels 0 and 1 [B] of two-label tasks."""
    generator = torch.Generator().manual_seed(seed)
    return {task: torch.randint(0, 2, (SIZE,), generator=generator) for task in tasks}


def reached(model: MultiTaskModule, loss: Tensor) -> set[str]:
    """The tasks whose heads a loss reaches, and ``encoder``."""
    parts = {name: list(task.parameters()) for name, task in model.tasks.items()}
    parts["encoder"] = list(model.encoder.parameters())
    found = set()
    for name, parameters in parts.items():
        if parameters:
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            if any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients):
                found.add(name)
    return found


def alone(model: MultiTaskModule, task: str, inputs: Mapping[str, Tensor]) -> Tensor:
    """Logits of a task's own head on the features that the sharing makes for it."""
    return model.tasks[task](model.sharing(inputs, [task])[task])
