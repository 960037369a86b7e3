"""Pairs of thin matrices for a linear map: of each task its own, and of all."""

from collections.abc import Sequence

import torch
from torch import nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.adapting.low_rank import Factors, LowRank, downs, ups


class Pair(nn.Module):
    """Two thin matrices whose product is zero at the start.

    Args:
        linear: The map that they are for.
        rank: r.
    """

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.down, self.up = downs(linear, rank), ups(linear, rank)


class SharedLoRA(LowRank):
    """A pair of matrices for all tasks."""

    by_task = False

    def __init__(self, linear: nn.Linear, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.scale = scale
        self.shared = Pair(linear, rank)

    def factors(self, task: str) -> Factors:
        return Factors(self.shared.down, self.shared.up, self.scale)


class OwnLoRA(LowRank):
    """A pair of matrices for each task, and one for all if asked for."""

    def __init__(
        self,
        linear: nn.Linear,
        tasks: Sequence[str],
        rank: int,
        scale: float,
        dropout: float = 0.0,
        shared_rank: int = 0,
    ) -> None:
        super().__init__(dropout)
        self.scale = scale
        self.own = nn.ModuleDict({task: Pair(linear, rank) for task in tasks})
        self.shared = Pair(linear, shared_rank) if shared_rank else None

    def of(self, task: str) -> Pair:
        """The matrices of a task."""
        return self.own[task]  # type: ignore[return-value]

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.of(task).parameters())

    def factors(self, task: str) -> Factors:
        own = self.of(task)
        if self.shared is None:
            return Factors(own.down, own.up, self.scale)
        down, up = torch.cat([own.down, self.shared.down]), torch.cat([own.up, self.shared.up], 1)
        return Factors(down, up, self.scale)

    @torch.no_grad()
    def take(self, task: str, factors: Factors) -> None:
        if self.shared is not None:
            super().take(task, factors)
        own, rank = self.of(task), len(factors.down)
        if rank != len(own.down):
            raise UserError(f"the adapter of '{task}' has rank {rank}, this model {len(own.down)}; set `rank: {rank}`")
        own.down.copy_(factors.down)
        own.up.copy_(factors.up * (factors.scale / self.scale))
