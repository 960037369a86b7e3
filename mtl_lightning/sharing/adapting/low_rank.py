"""What is added to a linear map: a product of two thin matrices."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.adapting.route import Route


class Factors(NamedTuple):
    r"""The map :math:`x \mapsto scale \cdot up \, (down \, x)`.

    Attributes:
        down: [r, in].
        up: [out, r].
        scale: A number.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0

    @property
    def product(self) -> Tensor:
        """What it adds to the weight of the linear map [out, in]."""
        return self.scale * self.up @ self.down


class LowRank(nn.Module, ABC):
    """What is added to the output of a linear map: the product of a task's factors.

    Attributes:
        by_task: Whether what it adds depends on the task.
        route: Says whose factors are in use.
    """

    by_task = True

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.route = Route()

    @abstractmethod
    def factors(self, task: str) -> Factors:
        """What a task adds to the linear map."""

    def drawn(self, task: str) -> Factors:
        """The same in training, where it may be drawn at random; by default it is not."""
        return self.factors(task)

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        """The parameters that one task alone trains; none by default."""
        return []

    def take(self, task: str, factors: Factors) -> None:
        """Has a task add something else from now on.

        Raises:
            UserError: If that cannot be told from what other tasks add, as by default.
        """
        raise UserError(
            "model.sharing: an adapter in a file does not say which part of it is shared with other tasks; start from "
            "the run that it comes from, with `--init_from`"
        )

    def forward(self, x: Tensor, output: Tensor) -> Tensor:
        """The output of the linear map with what the task on the route adds.

        Args:
            x: What the map reads [..., in].
            output: What it makes of it [..., out].
        """
        if self.route.task is None:
            return output
        task = self.route.task
        down, up, scale = self.drawn(task) if self.training else self.factors(task)
        x = self.dropout(x)
        if not torch.is_autocast_enabled(x.device.type):  # which casts by itself
            x = x.to(down.dtype)
        return output + functional.linear(functional.linear(x, down) * scale, up).to(output.dtype)


class AdaptedLinear(nn.Linear):
    """A linear map with an adapter: the map itself, which was given this class and may be given back its own.

    So its parameters keep their names, and checkpoints, learning rates by layer and merging know nothing of adapters. A
    forward hook would do the same, but ``torch.compile`` takes maps with and without hooks for one.
    """

    _adapter: tuple[LowRank]  # in a tuple: its parameters are the sharing's

    @classmethod
    def make(cls, linear: nn.Linear, adapter: LowRank) -> None:
        """Gives a linear map an adapter."""
        linear.__class__ = cls
        linear._adapter = (adapter,)  # type: ignore[assignment]

    @staticmethod
    def unmake(linear: nn.Linear) -> None:
        """Takes the adapter away."""
        linear.__class__ = nn.Linear
        del linear._adapter

    def forward(self, input: Tensor) -> Tensor:
        return self._adapter[0](input, super().forward(input))  # type: ignore[no-any-return]


def downs(linear: nn.Linear, rank: int, *number: int) -> nn.Parameter:
    """Thin matrices that read what a linear map reads, drawn as torch's linear maps are [*number, r, in]."""
    bound = linear.in_features**-0.5
    drawn = torch.empty(*number, rank, linear.in_features, device=linear.weight.device)
    return nn.Parameter(drawn.uniform_(-bound, bound))


def ups(linear: nn.Linear, rank: int, *number: int) -> nn.Parameter:
    """Thin matrices that write what a linear map writes, zero [*number, out, r]."""
    return nn.Parameter(torch.zeros(*number, linear.out_features, rank, device=linear.weight.device))
