"""Plain PyTorch loops: with a sum of losses, with the package's executor, with TorchJD."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import cycle
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim import AdamW
from torchjd.aggregation import Aggregator
from torchjd.autojac import jac_to_grad, mtl_backward

from experiments.benchmark.workloads import Batches, Workload
from mtl_lightning.backward import Executor
from mtl_lightning.data import Batch
from mtl_lightning.encoders.modes import in_evaluation
from mtl_lightning.weighting import Weighting

LEARNING_RATE = 1e-4


class Loop(ABC):
    """Forward, gradients, optimizer step.

    Args:
        workload: What to train.
        batches: Step batches, gone through again and again.

    Attributes:
        period: Steps after which the loop repeats itself.
    """

    period = 1

    def __init__(self, workload: Workload, batches: Batches) -> None:
        self.encoder, self.tasks = workload.model()
        self.autocast, self.device = workload.autocast, workload.device
        self.arrange()
        parameters = [*self.encoder.parameters(), *(p for task in self.tasks.values() for p in task.parameters())]
        self.optimizer = AdamW(parameters, lr=LEARNING_RATE)
        self.batches = cycle(move_data_to_device(list(batches), workload.device))

    def arrange(self) -> None:  # noqa: B027 - few have anything to do
        """Prepares the model before the optimizer sees its parameters."""

    def train(self, steps: int) -> None:
        """Runs optimizer steps."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.differentiate(next(self.batches))
            self.optimizer.step()

    @abstractmethod
    def differentiate(self, batch: dict[str, Batch]) -> None:
        """Writes the gradients of a step."""

    def forward(self, part: Batch) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The losses of one data set's batch, by task, and the features that the heads read."""
        with self.autocast():
            features = self.encoder(part.inputs)
            outputs = {name: self.tasks[name](features) for name in part.targets}
            losses = {name: self.tasks[name].loss(output, part.targets[name]) for name, output in outputs.items()}
        return losses, [getattr(features, level) for level in dict.fromkeys(self.tasks[t].level for t in part.targets)]


class BareLoop(Loop):
    """The sum of the losses, and ``backward``: what one writes without a framework."""

    def differentiate(self, batch: dict[str, Batch]) -> None:
        losses = [loss for part in batch.values() for loss in self.forward(part)[0].values()]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]


class ExecutorLoop(Loop):
    """The package's step without Lightning.

    Args:
        workload: What to train.
        batches: Step batches, gone through again and again.
        weighting: What balances the tasks.
        options: Of the executor.
    """

    def __init__(
        self, workload: Workload, batches: Batches, weighting: Callable[[Sequence[str]], Weighting], **options: Any
    ) -> None:
        super().__init__(workload, batches)
        heads = {name: task.parameters() for name, task in self.tasks.items()}
        balanced = weighting(list(self.tasks)).to(workload.device)
        self.executor = Executor(balanced, self.encoder.parameters(), heads, **options)
        self.period = options.get("refresh_every", 1)

    def differentiate(self, batch: dict[str, Batch]) -> None:
        number = self.executor.setup.weighting.batches_per_step
        for each in range(number):
            for part in (batch if each == 0 else next(self.batches)).values():
                losses, features = self.forward(part)
                self.executor.add(losses, features=features, complete=list(losses))
            if each == number - 1 and self.executor.takes_validation:
                self._validate(next(self.batches))
            if self.executor.takes_perturbed:
                self.executor.add_perturbed(partial(self._again, list(batch.values())))
            self.executor.backward(self.executor.combine(last=each == number - 1).objective / number)

    def _again(
        self, parts: Sequence[Batch], task: str, probe: bool
    ) -> Iterator[tuple[dict[str, Tensor], dict[str, float]]]:
        """The losses of a task in the same batches, under the parameters that there are."""
        mode = in_evaluation(nn.ModuleList([self.encoder, *self.tasks.values()])) if probe else nullcontext()
        for part in parts:
            if task in part.targets:
                with mode:
                    losses = self.forward(part)[0]
                yield losses, dict.fromkeys(losses, 1.0)

    def _validate(self, batch: dict[str, Batch]) -> None:
        """Takes a batch as one of validation data."""
        with in_evaluation(nn.ModuleList([self.encoder, *self.tasks.values()])):
            for part in batch.values():
                losses = self.forward(part)[0]
                self.executor.add_validation(losses)


class TorchJDLoop(Loop):
    """TorchJD's ``mtl_backward``, with the features of all data sets, and ``jac_to_grad``, as its docs show.

    Args:
        workload: What to train.
        batches: Step batches, gone through again and again.
        aggregator: What combines the gradients.
        chunk: Rows of the Jacobian that are computed together; null: all.
    """

    def __init__(
        self, workload: Workload, batches: Batches, aggregator: Callable[[], Aggregator], chunk: int | None = None
    ) -> None:
        super().__init__(workload, batches)
        self.aggregator = aggregator()
        self.chunk = chunk

    def differentiate(self, batch: dict[str, Batch]) -> None:
        parts = [self.forward(part) for part in batch.values()]
        losses = [loss for found, _ in parts for loss in found.values()]
        features = [tensor for _, read in parts for tensor in read]
        mtl_backward(losses, features=features, parallel_chunk_size=self.chunk)
        jac_to_grad(self.encoder.parameters(), self.aggregator)
