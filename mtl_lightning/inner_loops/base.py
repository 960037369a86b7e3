"""What an inner loop is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError

Parameters = Mapping[str, Tensor]
"""Parameters in the place of a model's own, by name; those that are not there are its own."""

Loss = Callable[[Parameters], Tensor]
"""A task's mean loss on some examples, as a function of parameters: a scalar, or [E] where the parameters are those of
each of E episodes [E, ...], each of which has its own examples."""


class Episode(NamedTuple):
    """One episode of one task, or E of them that adapt at once.

    Attributes:
        support: Loss on the support set.
        query: Loss on the query set.
        batches: Losses on parts of all examples of the episode, each as large as the support set, which is the first.
    """

    support: Loss
    query: Loss
    batches: Sequence[Loss]


class InnerLoop(nn.Module, ABC):
    r"""Adapts parameters :math:`\theta` to an episode, and says what of that trains them.

    It is asked for each task of each episode by itself. What it returns as a loss goes where any loss goes: the
    weighting balances the tasks, and the gradients are averaged over processes.

    Args:
        lr: Inner learning rate, above 0.
        steps: Number of inner steps, at least 1.
        eval_steps: The same in an evaluation; null: as many.
        parameters: Pattern of the names of the parameters that adapt, such as ``heads.*`` or ``*lora*``; those that are
            frozen do not.
        vectorized: Whether the episodes of a batch adapt at once, by ``torch.vmap``: many times faster where the model
            is small, and not possible where what it computes depends on values, as with batch normalisation.
        head_lr: Inner learning rate of the heads, above 0; null: ``lr``.

    Raises:
        UserError: If a number is out of its range.
    """

    second_order: bool = False
    """Whether training differentiates through the inner gradients."""

    def __init__(
        self,
        lr: float,
        steps: int,
        eval_steps: int | None = None,
        parameters: str = "*",
        vectorized: bool = False,
        head_lr: float | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("lr", lr), ("head_lr", head_lr)):
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"model.inner_loop.{name} must be above 0, found {value}")
        for name, number in (("steps", steps), ("eval_steps", eval_steps)):
            if number is not None and number < 1:
                raise UserError(f"model.inner_loop.{name} must be at least 1, found {number}")
        self.lr = lr
        self.head_lr = lr if head_lr is None else head_lr
        self.steps = steps
        self.eval_steps = steps if eval_steps is None else eval_steps
        self.pattern = parameters
        self.vectorized = vectorized

    def chosen(self, named: Parameters) -> dict[str, Tensor]:
        """Those of a model's parameters that adapt.

        Args:
            named: All, by name.

        Raises:
            UserError: If there are none.
        """
        found = {name: p for name, p in named.items() if p.requires_grad and fnmatchcase(name, self.pattern)}
        if not found:
            names = [name for name, parameter in named.items() if parameter.requires_grad]
            some = f"their names are like '{names[0]}' and '{names[-1]}'" if names else "none trains"
            raise UserError(f"model.inner_loop.parameters: '{self.pattern}' matches no parameter that trains; {some}")
        return found

    def build(self, named: Parameters) -> None:
        """Creates what it learns itself, once the model's parameters are there.

        Args:
            named: The parameters that may adapt, by name.
        """

    def learnt_with(self, name: str) -> Sequence[nn.Parameter]:
        """Parameters of its own that go with a parameter of the model; none by default."""
        return ()

    @abstractmethod
    def loss(self, parameters: Parameters, episode: Episode) -> Tensor:
        """What the model trains on: its value is a loss of the episode, and its gradient that which is wanted.

        Args:
            parameters: Those that adapt, by name, as they are; for each of E episodes [E, ...] if they adapt at once.
            episode: What to adapt to.

        Returns:
            A scalar, or [E], of which the mean counts.
        """

    def adapted(self, parameters: Parameters, support: Loss) -> dict[str, Tensor]:
        """Parameters after the inner steps of an evaluation, without a graph.

        Args:
            parameters: As of ``loss``.
            support: Loss on the support set.
        """
        current = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        for _ in range(self.eval_steps):
            gradients = gradients_of(support(current), current)
            current = {
                name: (value.detach() - self.rate(name) * gradients[name]).detach().requires_grad_()
                for name, value in current.items()
            }
        return {name: value.detach() for name, value in current.items()}

    def rate(self, name: str) -> float | Tensor:
        """Learning rate of a parameter."""
        return self.fixed_rate(name)

    def fixed_rate(self, name: str) -> float:
        """Learning rate of a parameter as the settings say."""
        return self.head_lr if name.startswith("heads.") else self.lr


def gradients_of(loss: Tensor, parameters: Parameters, create_graph: bool = False) -> dict[str, Tensor]:
    """Gradients by name; zero of what the loss does not depend on.

    Args:
        loss: A scalar, or losses [E], each of which depends on its own part of the parameters.
        parameters: By name.
        create_graph: Whether they are differentiated again.

    Raises:
        UserError: If an operation cannot be differentiated twice.
    """
    sources = list(parameters.values())
    try:
        found = torch.autograd.grad(loss.sum(), sources, create_graph=create_graph, allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        if create_graph and "not implemented" in str(error):
            raise UserError(
                f"model.inner_loop: {str(error).splitlines()[0]}; set `first_order: true`, choose FOMAML, or have the "
                "encoder compute attention as plain products (`attention: eager`)"
            ) from error
        raise
    pairs = zip(parameters.items(), found, strict=True)
    return {name: torch.zeros_like(value) if gradient is None else gradient for (name, value), gradient in pairs}
