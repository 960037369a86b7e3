"""What the tasks of a step are compared by."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from mtl_lightning.backward.gradients import Gradients


class Compared(ABC):
    """Gathers the tasks' gradients over the batches of an optimizer step and over processes, for their inner products.

    Tasks take places in the order in which they come. After ``gather`` everything is a sum over processes.

    Args:
        num_tasks: K.

    Attributes:
        places: Of each task that has one, counted from 0.
    """

    def __init__(self, num_tasks: int) -> None:
        self.num_tasks = num_tasks
        self.places: dict[str, int] = {}

    @property
    def tasks(self) -> list[str]:
        """The T tasks that have a place, in the order of the inner products."""
        return list(self.places)

    @property
    def num_bytes(self) -> int:
        """Memory that lasts as long as it is used, without what belongs to a batch."""
        return self.num_tasks**2 * torch.float64.itemsize

    def clear(self) -> None:
        """Forgets the step."""
        self.places = {}

    def start_batch(self, tasks: Collection[str]) -> None:
        """Gives a place to each task that has none; its gradient is zero if none is added."""
        for task in tasks:
            self.places.setdefault(task, len(self.places))

    @abstractmethod
    def add(self, task: str, gradients: Gradients, sources: Sequence[Tensor]) -> None:
        """Adds to a task's gradient.

        Args:
            task: Its name.
            gradients: One for each of the sources; none where the task does not use it.
            sources: What the gradients are of.
        """

    @abstractmethod
    def end_batch(self) -> None:
        """Called when all tasks of a batch are in."""

    @abstractmethod
    def send(self, task: str) -> None:
        """Tells that a task's gradient is complete, which may be on its way while others are computed.

        It is told of the same tasks in the same order on every process.
        """

    @abstractmethod
    def gather(self, device: torch.device) -> None:
        """Ends when everything is added up over processes; on ``device`` if nothing was added that has one."""

    @abstractmethod
    def gramian(self) -> Tensor:
        """Inner products of the gradients [T, T], float64, on their device."""

    def is_accurate(self, products: Tensor) -> bool:
        """Whether ``gramian`` gave what it should.

        Args:
            products: What it gave, on the host.
        """
        return True

    def exact_gramian(self) -> Tensor:
        """The same as ``gramian`` where that is not accurate."""
        return self.gramian()
