"""Sharings that tell an encoder which task it computes for, by a learned vector."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.observing import Observations
from mtl_lightning.sharing.task_parameters import TaskParameters


class TaskVectors(Sharing):
    """One with a learned vector for each task; what reads the vectors is shared by all.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        width: E, the width of the vectors.
        std: Standard deviation of their numbers at the start.

    Attributes:
        vectors: The vector of each task [E], which is its own.
    """

    def __init__(self, tasks: Sequence[str], encoder: Encoder, width: int, std: float = 0.0) -> None:
        super().__init__(tasks, encoder)
        if width < 1:
            raise UserError(f"model.sharing: `width` must be at least 1, found {width}")
        self.vectors = TaskParameters({task: std * torch.randn(width) for task in tasks})

    @property
    def embeddings(self) -> Tensor:
        """The vectors in the order of the tasks [K, E]."""
        return torch.stack([self.vectors[task] for task in self.tasks])

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return [self.vectors[task]]

    def observe(self) -> Observations:
        return super().observe()._replace(embeddings=self.embeddings.detach())
