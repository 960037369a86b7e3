"""The three families of weightings: the base class is the declaration of what a method needs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self
from zlib import crc32

import torch
from torch import Tensor, nn


class Weighting(nn.Module, ABC):
    """Balances the losses of several tasks.

    A weighting sees evidence that is already reduced over all processes, and only of the tasks present in the step. It
    calls no collectives and draws no global random numbers.

    Its state has a fixed size, is created in ``__init__`` from the task names, and is checkpointed with them. What is
    computed on the training device lives in parameters (trained with the model) and buffers; what is computed on the
    host, such as all that a Gramian method keeps, is declared by ``add_state``.

    Args:
        tasks: Names of the K tasks, in the order of the state.
    """

    needs_losses_after: ClassVar[bool] = False
    """Whether ``on_step_end`` is to be called, which costs a second forward pass in each step."""

    batches_per_step: ClassVar[int] = 1
    """How many independent batches an optimizer step takes, all under the same parameters. Above 1 for Gramian methods
    alone, which then see inner products between batches, too."""

    needs_validation_batch: ClassVar[bool] = False
    """Whether a step also has a batch of validation data, which trains nothing. For Gramian methods alone, which see it
    as one more batch, the last."""

    perturbs_parameters: ClassVar[bool] = False
    """Whether the method sees gradients at parameters that it moves for each task, which costs a forward and a backward
    pass for each. For methods of the family :class:`.SharpnessAware`, which says where to."""

    draws_preference: ClassVar[bool] = False
    """Whether ``preference`` is what a sharing is told before each batch of training [K]."""

    domain: str = ""
    """What the method needs if it is not defined for any losses, such as "losses of at least 0"; see ``undefined``."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        if len(tasks) == 0 or len(set(tasks)) != len(tasks):
            raise ValueError(f"tasks must be at least one name, each once, found {list(tasks)}")
        self.tasks = tuple(tasks)
        self._states: list[str] = []

    @property
    def batches_compared(self) -> int:
        """Of how many batches a step has gradients for the method to see."""
        return self.batches_per_step + self.needs_validation_batch

    @property
    def gradients_per_task(self) -> int:
        """How many gradients of each task the method sees."""
        return self.batches_compared

    @property
    def needs_epochs(self) -> bool:
        """Whether ``on_epoch_end`` has an effect: whether the class has one of its own, unless it says otherwise."""
        return type(self).on_epoch_end is not Weighting.on_epoch_end

    @property
    def needs_validation(self) -> bool:
        """Whether ``on_validation_end`` has an effect: whether the class has one of its own."""
        return type(self).on_validation_end is not Weighting.on_validation_end

    @property
    def constant_weights(self) -> dict[str, float] | None:
        """The weight of each task, where it is the same in every step; null, as by default: training finds it."""
        return None

    # -- what happens in training ------------------------------------------------------------------------------------
    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        """Which tasks the method has no weight for. Such a step is skipped, and the tasks are named with ``domain``.

        A loss weighting gives weights that are not numbers there, which costs no look at the losses; it is asked which
        they are afterwards. Others are asked before ``forward``.

        Args:
            losses: Losses of the T tasks present [T], where ``forward`` has them.
            tasks: Their indices among the K tasks [T].

        Returns:
            Booleans [T].
        """
        return torch.zeros_like(losses, dtype=torch.bool)

    def on_step_end(self, losses: Tensor, tasks: Tensor) -> None:
        """Called after an optimizer step, if ``needs_losses_after``, on the device of the losses.

        Args:
            losses: Losses of the step's batch under the new parameters [T].
            tasks: Indices of the tasks present [T].
        """

    def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
        """Called after each training epoch, on the device of the losses.

        Args:
            losses: Mean training loss of each task over the steps of the epoch that had labels of it [T].
            tasks: Indices of the tasks that appeared in the epoch [T].
        """

    def on_validation_end(self, losses: Tensor, tasks: Tensor) -> None:
        """Called after each validation, on the host.

        Args:
            losses: Mean validation loss of each task [T].
            tasks: Indices of the tasks that have validation labels [T].
        """

    # -- state -------------------------------------------------------------------------------------------------------
    def add_state(self, name: str, value: Tensor | int | bool) -> None:
        """Declares an attribute that is checkpointed and stays on the host in its precision.

        Args:
            name: Of the attribute; assign to it to change it.
            value: What it starts from.
        """
        setattr(self, name, value)
        self._states.append(name)

    def add_random_state(self, seed: int | None) -> None:
        """Declares what ``generator`` needs.

        Args:
            seed: Of the random numbers; null: the seed of the run.
        """
        self.add_state("seed", torch.initial_seed() if seed is None else seed)
        self.add_state("num_draws", 0)

    def generator(self, device: torch.device | str = "cpu") -> torch.Generator:
        """Random numbers for one step: the same on every process, and others in each step.

        Args:
            device: Where the numbers are drawn.
        """
        seed, draw = getattr(self, "seed"), getattr(self, "num_draws")  # noqa: B009
        self.num_draws = draw + 1
        return torch.Generator(device).manual_seed(crc32(f"{seed} {draw}".encode()))

    def get_extra_state(self) -> dict[str, Any]:
        """The declared state, and the task names, so that state is never loaded under other names."""
        values = {name: getattr(self, name) for name in self._states}
        copies = {name: value.clone() if isinstance(value, Tensor) else value for name, value in values.items()}
        return {"tasks": list(self.tasks), **copies}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores the declared state.

        Raises:
            ValueError: If the checkpoint's tasks differ from this object's, in order too, or its state is another
                method's.
        """
        if tuple(state["tasks"]) != self.tasks:
            raise ValueError(
                f"the checkpoint's weighting is for the tasks {list(state['tasks'])}, this one for {list(self.tasks)}; "
                "configure the same tasks in the same order"
            )
        if set(state) != {"tasks", *self._states}:
            raise ValueError(
                f"the checkpoint's weighting keeps {sorted(set(state) - {'tasks'})}, {type(self).__name__} keeps "
                f"{sorted(self._states)}; configure the weighting that the checkpoint was trained with"
            )
        for name in self._states:
            value = state[name]
            setattr(self, name, value.clone() if isinstance(value, Tensor) else value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves to another device, but not to a lower precision, which moving averages would not survive."""

        def move(value: Tensor) -> Tensor:
            moved = fn(value)
            return moved if torch.promote_types(moved.dtype, value.dtype) == moved.dtype else value.to(moved.device)

        super()._apply(move, recurse)  # type: ignore[no-untyped-call]
        return self


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
    """A weighting that needs the inner products of the tasks' gradients.

    It computes on the host, in float64: the [T, T] problem is too small for a device. A task whose gradient is zero
    (the diagonal tells) asks for nothing and must not hold the others back.

    With b ``batches_per_step``, each task has a gradient in each batch: what is [T] below, but for ``tasks``, is [b T],
    batch after batch, and the Gramian [b T, b T]. A task that lacks labels in one of the batches is left out of such a
    step, in which it keeps the weight that it had. With ``needs_validation_batch``, one more batch follows in Gramian
    and losses, [(b + 1) T]; the weights remain [b T].

    Args:
        tasks: Names of the K tasks, in the order of the state.
        log: Whether to combine the gradients of the logarithms of the losses: ``forward`` sees their Gramian, rows and
            columns divided by the losses, and its weights are divided by the losses, which is exact. A loss of zero has
            nothing to gain; a step with a negative one is skipped.
    """

    def __init__(self, tasks: Sequence[str], log: bool = False) -> None:
        super().__init__(tasks)
        self.log = log
        if log:
            self.domain = "losses of at least 0 with `log: true`"

    def __call__(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        """The weights of the tasks' gradients [T], float64; see ``forward``."""
        if not self.log:
            weights: Tensor = super().__call__(gramian, losses, tasks)
            return weights
        slopes = torch.where(losses < 0, torch.nan, torch.where(losses > 0, 1 / losses, 0.0))
        if slopes.isnan().any():
            return slopes
        weights = super().__call__(gramian * torch.outer(slopes, slopes), losses, tasks)
        return slopes[: len(weights)] * weights

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return (losses < 0) & self.log

    @abstractmethod
    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        """The weights.

        Args:
            gramian: Inner products of the gradients of the shared parameters [T, T], float64, on the host.
            losses: Losses of the T tasks present [T], float64, on the host.
            tasks: Their indices among the K tasks [T], on the host.

        Returns:
            Weights [T], float64.
        """


class JacobianWeighting(Weighting):
    """A method that needs the tasks' gradients themselves, and computes on their device."""

    @property
    def needs_layers(self) -> bool:
        """Whether ``prepare_layers`` has an effect: whether the class has one of its own, unless it says otherwise."""
        return type(self).prepare_layers is not JacobianWeighting.prepare_layers

    def prepare_layers(self, num_layers: int, parameters: Sequence[tuple[int, int]]) -> None:
        """Tells which columns belong to which layer; called after ``prepare``.

        Args:
            num_layers: How many layers there are, those without columns too.
            parameters: For each shared parameter, in the order of the columns: the layer, from 0, and its size.
        """

    def prepare(self, num_parameters: int) -> None:
        """Creates the buffers whose size depends on P; called once, before training and before state is loaded.

        Args:
            num_parameters: P, the number of shared parameters.
        """

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
