"""What tasks learn from: labels, or something beside them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from mtl_lightning.data import Batch
from mtl_lightning.sharing.contracts import Representation
from mtl_lightning.tasks import Task
from mtl_lightning.training.episodes import label_loss


class Lesson(Protocol):
    """What one batch teaches."""

    @property
    def shares(self) -> Mapping[str, float]:
        """By task, the weight of the loss of this batch in the step's; see :class:`mtl_lightning.data.Batch`."""
        ...

    def loss(self, name: str, task: Task, logits: Any, made: Representation | None) -> Tensor:
        """Mean loss of a task that has a share, in float32; a scalar.

        Args:
            name: Of the task.
            task: The task.
            logits: What its head returned.
            made: What its head read; null: nothing.
        """
        ...


class Supervision(Protocol):
    """What the tasks of a model learn from."""

    def start(self, module: Any) -> None:
        """Takes what it needs before a run trains.

        Args:
            module: The MultiTaskModule, built.
        """
        ...

    @property
    def modules_of_its_own(self) -> Sequence[nn.Module]:
        """Those that train with the model, and are not needed afterwards."""
        ...

    def lesson(self, batch: Batch) -> Lesson:
        """What a batch teaches."""
        ...

    def identities(self) -> dict[str, Any]:
        """What tells what it learns from from anything else, for a checkpoint: under keys of its own."""
        ...

    def compare(self, saved: Mapping[str, Any]) -> None:
        """Says of a run that is resumed if it learns from something else than before.

        Args:
            saved: What the checkpoint holds; it may hold nothing of this.
        """
        ...

    def own_parameters(self, task: str) -> Sequence[nn.Parameter]:
        """Parameters of these modules that a task's loss trains, and no other's."""
        ...


class LabelLesson:
    """A batch that teaches its labels."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    @property
    def shares(self) -> Mapping[str, float]:
        return self._batch.shares

    def loss(self, name: str, task: Task, logits: Any, made: Representation | None) -> Tensor:
        return label_loss(task, logits, self._batch.targets[name], self._batch)


class Labels:
    """Learning from labels alone, which come with the batches."""

    modules_of_its_own: Sequence[nn.Module] = ()

    def start(self, module: Any) -> None:
        pass

    def identities(self) -> dict[str, Any]:
        return {}

    def compare(self, saved: Mapping[str, Any]) -> None:
        pass

    def lesson(self, batch: Batch) -> Lesson:
        return LabelLesson(batch)

    def own_parameters(self, task: str) -> Sequence[nn.Parameter]:
        return ()
