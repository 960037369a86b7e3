"""What tasks that score each sequence of an example have in common."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.tasks.base import Task
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.inheriting import fitting


class ScoredSequences(Task):
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

    def inherited(self, state: Mapping[str, Tensor], adapted: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
        return fitting(state, self.state_dict()), "taken"


def numbers_present(scores: Tensor) -> list[int]:
    """How many sequences each example has [B], of scores [B, N]."""
    found: list[int] = (~scores.isneginf()).sum(1).tolist()
    return found
