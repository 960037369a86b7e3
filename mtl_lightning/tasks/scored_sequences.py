"""What tasks that score each sequence of an example have in common."""

import torch
from torch import Tensor

from mtl_lightning.tasks.as_configured import AsConfigured
from mtl_lightning.tasks.contracts import Features


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
