"""What the contestants train: models and batches that are ready before any clock starts."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from mtl_lightning.data import Batch
from mtl_lightning.encoders import Encoder, PerceptronEncoder, TransformerEncoder
from mtl_lightning.tasks import SequenceClassification, Task, TokenClassification

Batches: TypeAlias = Sequence[dict[str, Batch]]

_CHARACTERS = "abcdefghijklmnopqrstuvwxyz"


class Model(Protocol):
    """An encoder of some size, and random inputs for it."""

    @property
    def length(self) -> int:
        """Tokens in an example."""

    def encoder(self, dropout: float) -> Encoder:
        """A fresh one."""

    def inputs(self, encoder: Encoder, size: int, random: torch.Generator) -> dict[str, Tensor]:
        """A batch of ``size`` examples."""


@dataclass(frozen=True)
class Transformer:
    """A transformer over characters.

    Attributes:
        length: Tokens in an example, the two special ones included.
        width: Of the model; its intermediate layers are four times as wide.
        layers: Their number.
    """

    length: int = 64
    width: int = 128
    layers: int = 4

    def encoder(self, dropout: float) -> Encoder:
        """A fresh one."""
        return TransformerEncoder(
            config={
                "model_type": "bert",
                "hidden_size": self.width,
                "num_hidden_layers": self.layers,
                "num_attention_heads": 4,
                "intermediate_size": 4 * self.width,
            },
            tokenizer="characters:ascii",
            dropout=dropout,
        )

    def inputs(self, encoder: Encoder, size: int, random: torch.Generator) -> dict[str, Tensor]:
        """Random letters."""
        letters = torch.randint(len(_CHARACTERS), (size, self.length - 2), generator=random).tolist()
        columns = encoder.processor.encode({"tokens": [[_CHARACTERS[i] for i in row] for row in letters]})
        examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return encoder.processor.collate(examples)


@dataclass(frozen=True)
class Perceptron:
    """A multilayer perceptron.

    Attributes:
        widths: Of the input and of the layers.
    """

    widths: tuple[int, ...]
    length = 1

    def encoder(self, dropout: float) -> Encoder:
        """A fresh one."""
        return PerceptronEncoder(self.widths[0], self.widths[1:], dropout)

    def inputs(self, encoder: Encoder, size: int, random: torch.Generator) -> dict[str, Tensor]:
        """Random vectors."""
        return {"features": torch.randn(size, self.widths[0], generator=random)}


@dataclass(frozen=True)
class Workload:
    """Data sets and the tasks that they label.

    Attributes:
        name: In the table.
        datasets: The tasks that each data set labels. A task named ``tags*`` labels tokens, any other whole examples.
        batch_size: Examples of each data set in a step.
        size: The model.
        dropout: In encoder and heads. It makes forward passes dear, beside which several backward passes look cheap.
        labels: Label names of each task.
        device: Where it is trained.
        bf16: Whether forward passes run in bfloat16, by autocasting.
    """

    name: str
    datasets: Mapping[str, tuple[str, ...]]
    batch_size: int
    size: Model = Transformer()
    dropout: float = 0.0
    labels: int = 8
    device: str = "cpu"
    bf16: bool = False

    @property
    def tasks(self) -> list[str]:
        """Names of all tasks."""
        return [task for tasks in self.datasets.values() for task in tasks]

    def model(self) -> tuple[Encoder, dict[str, Task]]:
        """A fresh encoder and its tasks, with their heads, from the same random numbers each time."""
        torch.manual_seed(0)
        encoder = self.size.encoder(self.dropout)
        tasks = {name: self._task(name) for name in self.tasks}
        for task in tasks.values():
            task.build(encoder.features)
            task.to(self.device)
        return encoder.to(self.device), tasks

    def autocast(self) -> AbstractContextManager[None]:
        """Where a forward pass runs."""
        return torch.autocast(self.device, torch.bfloat16) if self.bf16 else nullcontext()

    def batches(self, number: int, seed: int = 0) -> list[dict[str, Batch]]:
        """Step batches with random inputs and labels, on the host; for a GPU, in memory that it can copy from."""
        encoder, _ = self.model()
        random = torch.Generator().manual_seed(seed)
        batches = [
            {name: self._batch(encoder, tasks, random) for name, tasks in self.datasets.items()} for _ in range(number)
        ]
        return batches if self.device == "cpu" else tree_map_only(Tensor, Tensor.pin_memory, batches)

    def small(self) -> "Workload":
        """The same with little to compute."""
        size = Perceptron((16, 16, 16)) if isinstance(self.size, Perceptron) else Transformer(16, 64, 1)
        return replace(self, batch_size=4, size=size)

    def _task(self, name: str) -> Task:
        labels = [f"label_{i}" for i in range(self.labels)]
        kind = TokenClassification if _labels_tokens(name) else SequenceClassification
        return kind(labels=labels, dropout=self.dropout)

    def _batch(self, encoder: Encoder, tasks: tuple[str, ...], random: torch.Generator) -> Batch:
        inputs = self.size.inputs(encoder, self.batch_size, random)
        targets: dict[str, Tensor] = {}
        for task in tasks:
            shape = (self.batch_size, self.size.length - 2) if _labels_tokens(task) else (self.batch_size,)
            targets[task] = torch.randint(self.labels, shape, generator=random)
        return Batch(
            inputs=inputs,
            targets=targets,
            counts={task: target.numel() for task, target in targets.items()},
            shares=dict.fromkeys(tasks, 1.0),
            examples=list(range(self.batch_size)),
            num_tokens=self.batch_size * self.size.length,
        )


def one_input(name: str, num_tasks: int, batch_size: int, size: Model) -> Workload:
    """One data set that labels all tasks."""
    return Workload(name, {"examples": tuple(f"task_{i}" for i in range(num_tasks))}, batch_size, size)


def several_inputs(name: str, num_tasks: int, batch_size: int, size: Model) -> Workload:
    """A data set for each task."""
    return Workload(name, {f"source_{i}": (f"topic_{i}",) for i in range(num_tasks)}, batch_size, size)


def _labels_tokens(task: str) -> bool:
    return task.startswith("tags")


WARM_UP = Workload("warm-up", {"a": ("intent", "tags"), "b": ("topic",)}, batch_size=1, size=Transformer(4, 4, 1))
