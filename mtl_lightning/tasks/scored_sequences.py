"""What tasks that score each sequence of an example have in common."""

from typing import Any

import torch
from torch import Tensor

from mtl_lightning.tasks.as_configured import AsConfigured
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.soft_losses import mean_divergence
from mtl_lightning.tasks.taught import Reading, read_as_it_is


class ScoredSequences(AsConfigured):
    """A task whose logits [B, N] are a score for each sequence of an example, minus infinity where it has fewer than N.

    Sequences are encoded each by itself and scored by one linear map, so that any number of them can be told apart, and
    their order does not matter.
    """

    by_sequence = True
    required_inputs = ("choices",)

    @property
    def num_outputs(self) -> int:
        return 1

    def can_read(self, features: Features) -> bool:
        """Whether each choice was read by itself."""
        return super().can_read(features) and "choices" in (features.given or {})

    def forward(self, features: Features) -> Tensor:
        """Scores [B, N]."""
        assert features.given is not None, "can_read() says so"
        scores = super().forward(features).squeeze(-1)
        return scores.masked_fill(features.given["sequences"] < 0, -torch.inf)

    def read_teacher(self, teacher: Any) -> Reading:
        return read_as_it_is(self, teacher)

    def soft_loss(self, logits: Tensor, taught: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
        """Of the softmax over the sequences of an example."""
        return mean_divergence(logits, taught, temperature)

    def num_places(self, target: Any) -> int:
        """1: an example has one order of its sequences."""
        return 1
