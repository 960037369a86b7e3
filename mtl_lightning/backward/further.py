"""What a step may take besides the losses that it trains on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from mtl_lightning.backward.loop import Loop
from mtl_lightning.backward.misuse import all_or_nothing
from mtl_lightning.backward.passes import Losses
from mtl_lightning.backward.window import Window

Anew: TypeAlias = Callable[[str, bool], Losses | Iterable[tuple[Losses, Mapping[str, float]]]]
"""Computes losses anew; see ``Further.add_perturbed``."""


class Further(Loop, ABC):
    """The part of the executor that takes losses that train nothing, and losses at other parameters."""

    @property
    @abstractmethod
    def _window(self) -> Window:
        """Of the step under way."""

    @abstractmethod
    def _refuse_unwritten(self) -> None:
        """Raises where a step was combined but not written."""

    @abstractmethod
    def abandon(self) -> None:
        """Forgets a step in which an exception was raised."""

    @property
    def takes_validation(self) -> bool:
        """Whether a batch of validation data is of use in the step under way; see ``add_validation``."""
        return self._window.way.takes_validation

    @all_or_nothing
    def add_validation(self, losses: Losses, shares: Mapping[str, float] | None = None) -> None:
        """Takes validation data of tasks whose training batches are all in: it trains nothing. See ``add``."""
        self._refuse_unwritten()
        self._window.add_validation(self.setup, losses, shares)

    @property
    def takes_perturbed(self) -> bool:
        """Whether the optimizer step under way waits for losses at perturbed parameters; see ``add_perturbed``."""
        return self._window.way.takes_perturbed

    @all_or_nothing
    def add_perturbed(self, again: Anew) -> None:
        """Moves parameters for one task after another, and lets the loop compute its losses there.

        It comes after all batches of an optimizer step, before the last ``combine``, and only where the weighting
        ``perturbs_parameters``; else it does nothing. The parameters are put back bit by bit.

        Args:
            again: Computes the losses of a task, of which it is given the name, in the same batches anew; others may
                come along. Where there are several batches: losses and shares of each, as for ``add``, all those with
                labels of the task on any process. Its second argument is true for a probe: the losses need no graph,
                and the model should be in evaluation mode. Else dropout and the like should be as they were, and
                running statistics should stay as they are.
        """
        self._refuse_unwritten()

        def parts(task: str, probe: bool) -> Iterable[tuple[Losses, Mapping[str, float]]]:
            found = again(task, probe)
            return [(found, dict.fromkeys(found, 1.0))] if isinstance(found, Mapping) else found

        if self._window.losses:
            self._window.add_perturbed(self.setup, parts)
