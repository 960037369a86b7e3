"""What methods that stand around another one hand on to it."""

from collections.abc import Callable, Sequence

from torch import Tensor

from mtl_lightning.weighting.base import GramianWeighting, Weighting


class Around(GramianWeighting):
    """A method around another one, which it makes from the names of the tasks.

    Args:
        tasks: Names of the K tasks.
        weighting: The other one; its options are its own.
    """

    weighting: Weighting

    def __init__(self, tasks: Sequence[str], weighting: Callable[[Sequence[str]], Weighting]) -> None:
        super().__init__(tasks)
        self.weighting = weighting(self.tasks)
        self.domain = self.weighting.domain

    @property
    def needs_epochs(self) -> bool:
        return self.weighting.needs_epochs

    @property
    def needs_validation(self) -> bool:
        return self.weighting.needs_validation

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return self.weighting.undefined(losses, tasks)

    def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
        self.weighting.on_epoch_end(losses, tasks)

    def on_validation_end(self, losses: Tensor, tasks: Tensor) -> None:
        self.weighting.on_validation_end(losses, tasks)
