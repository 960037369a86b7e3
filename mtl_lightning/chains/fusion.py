"""What outputs made of several heads have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from mtl_lightning.chains.base import Link
from mtl_lightning.tasks import Regression, Task


class Fusion(Link, ABC):
    """A joint output: made of other tasks' outputs alone, evaluated and predicted as any task is.

    It has no head of its own. Where a data set labels it, it has metrics, and counts in ``val/average``; where none
    does, it is only predicted, and the config says its labels (or a regression's mean and std).

    Args:
        of: The tasks that it is made of.
        trained: Whether its loss trains these tasks. Otherwise it is no task for the weighting.
    """

    has_head: ClassVar[bool] = False

    def __init__(self, of: Sequence[str], trained: bool = False) -> None:
        super().__init__(of)
        self.trained = trained

    def forward(self, task: Task, features: Any, earlier: Mapping[str, Tensor]) -> Tensor:
        return self.fuse(earlier)

    @abstractmethod
    def fuse(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """The joint output's logits.

        Args:
            outputs: Logits of the tasks that it is made of.
        """


def unit_of(task: Regression) -> tuple[float, float]:
    """Mean and standard deviation by which a regression's targets are standardised."""
    assert task.mean is not None and task.std is not None, "adapt() comes first"
    return task.mean, task.std
