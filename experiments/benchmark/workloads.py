"""What the contestants train: models and batches that are ready before any clock starts."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl_lightning.data import Batch
from mtl_lightning.encoders import Encoder, TransformerEncoder
from mtl_lightning.tasks import SequenceClassification, Task, TokenClassification

_CHARACTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Workload:
    """Data sets and the tasks that they label, on a transformer over characters.

    Attributes:
        name: In the table.
        datasets: The tasks that each data set labels. A task named ``tags*`` labels tokens, any other whole examples.
        batch_size: Examples of each data set in a step.
        length: Tokens in an example, the two special ones included.
        width: Of the transformer; its intermediate layers are four times as wide.
        layers: Of the transformer.
        labels: Label names of each task.
    """

    name: str
    datasets: Mapping[str, tuple[str, ...]]
    batch_size: int
    length: int = 64
    width: int = 128
    layers: int = 4
    labels: int = 8

    @property
    def tasks(self) -> list[str]:
        """Names of all tasks."""
        return [task for tasks in self.datasets.values() for task in tasks]

    def model(self) -> tuple[Encoder, dict[str, Task]]:
        """A fresh encoder and its tasks, with their heads, from the same random numbers each time."""
        torch.manual_seed(0)
        encoder = TransformerEncoder(
            config={
                "model_type": "bert",
                "hidden_size": self.width,
                "num_hidden_layers": self.layers,
                "num_attention_heads": 4,
                "intermediate_size": 4 * self.width,
            },
            tokenizer="characters:ascii",
        )
        tasks = {name: self._task(name) for name in self.tasks}
        for task in tasks.values():
            task.build(encoder.features)
        return encoder, tasks

    def batches(self, number: int) -> list[dict[str, Batch]]:
        """Step batches with random inputs and labels."""
        encoder, _ = self.model()
        random = torch.Generator().manual_seed(0)
        return [
            {name: self._batch(encoder, tasks, random) for name, tasks in self.datasets.items()} for _ in range(number)
        ]

    def _task(self, name: str) -> Task:
        labels = [f"label_{i}" for i in range(self.labels)]
        return TokenClassification(labels=labels) if _labels_tokens(name) else SequenceClassification(labels=labels)

    def _batch(self, encoder: Encoder, tasks: tuple[str, ...], random: torch.Generator) -> Batch:
        size, words = self.batch_size, self.length - 2
        letters = torch.randint(len(_CHARACTERS), (size, words), generator=random).tolist()
        columns = encoder.processor.encode({"tokens": [[_CHARACTERS[i] for i in row] for row in letters]})
        examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        targets: dict[str, Tensor] = {}
        for task in tasks:
            shape = (size, words) if _labels_tokens(task) else (size,)
            targets[task] = torch.randint(self.labels, shape, generator=random)
        return Batch(
            inputs=encoder.processor.collate(examples),
            targets=targets,
            counts={task: target.numel() for task, target in targets.items()},
            shares=dict.fromkeys(tasks, 1.0),
            examples=list(range(size)),
            num_tokens=size * self.length,
        )


def _labels_tokens(task: str) -> bool:
    return task.startswith("tags")


ONE_DATA_SET = Workload("one data set", {"sentences": ("intent", "tags")}, batch_size=32)
SEVERAL_DATA_SETS = Workload("several data sets", {f"source_{i}": (f"topic_{i}",) for i in range(4)}, batch_size=8)
TINY = Workload("tiny", {"a": ("intent", "tags"), "b": ("topic",)}, batch_size=1, length=4, width=4, layers=1)
