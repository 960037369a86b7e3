"""The three families of weightings: the base class is the declaration of what a method needs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class Weighting(nn.Module, ABC):
    """Balances the losses of several tasks.

    A weighting sees evidence that is already reduced over all processes, and only of the tasks present in the step. It
    keeps its state in buffers and parameters of fixed size that ``__init__`` creates from the task names, so that a
    checkpoint loads into a fresh object; it calls no collectives and draws no global random numbers.

    Args:
        tasks: Names of the K tasks, in the order of the state.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        if len(tasks) == 0 or len(set(tasks)) != len(tasks):
            raise ValueError(f"tasks must be at least one name, each once, found {list(tasks)}")
        self.tasks = tuple(tasks)

    def get_extra_state(self) -> dict[str, Any]:
        """The task names, so that state is never loaded under other names."""
        return {"tasks": list(self.tasks)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Compares the names in a checkpoint with this object's.

        Raises:
            ValueError: If they differ, in order too.
        """
        if tuple(state["tasks"]) != self.tasks:
            raise ValueError(
                f"the checkpoint's weighting is for the tasks {list(state['tasks'])}, this one for {list(self.tasks)}; "
                "configure the same tasks in the same order"
            )


class LossWeighting(Weighting):
    """A weighting that needs the losses alone. The weight of a task is the derivative of the objective by its loss."""

    @abstractmethod
    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        """The objective.

        Args:
            losses: Losses of the T tasks present [T], differentiable.
            tasks: Their indices among the K tasks [T].

        Returns:
            A scalar.
        """


class GramianWeighting(Weighting):
    """A weighting that needs the inner products of the tasks' gradients."""

    @abstractmethod
    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        """The weights.

        Args:
            gramian: Inner products of the gradients of the shared parameters [T, T], float64.
            losses: Losses of the T tasks present [T].
            tasks: Their indices among the K tasks [T].

        Returns:
            Weights [T].
        """


class JacobianWeighting(Weighting):
    """A method that needs the tasks' gradients themselves."""

    @abstractmethod
    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        """The direction.

        Args:
            jacobian: Gradients of the shared parameters [T, P], a row a task.
            losses: Losses of the T tasks present [T].
            tasks: Their indices among the K tasks [T].

        Returns:
            The combined gradient [P].
        """
