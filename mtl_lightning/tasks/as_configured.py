"""What tasks that need no training data to be what they are have in common."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from mtl_lightning.tasks.base import Task
from mtl_lightning.tasks.inheriting import fitting


class AsConfigured(Task):
    """A task that its config says all of: it learns nothing from the training labels but by gradients.

    So whatever was trained for it fits, as far as its shape does, whichever settings it was trained with.
    """

    def adapt(self, values: Iterable[Any]) -> None:
        """There is nothing to learn."""

    def adapted(self) -> dict[str, Any]:
        """Not empty, for there is nothing to wait for; nor anything that a checkpoint must agree with."""
        return {"main_metric": self.main_metric}

    def inherited(self, state: Mapping[str, Tensor], adapted: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
        return fitting(state, self.state_dict()), "taken"
