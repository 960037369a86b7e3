"""Scores where an answer begins and ends, or that there is none."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class AnswerLogits(NamedTuple):
    """What the head found in N windows of L tokens.

    Attributes:
        starts: Scores of each token, that an answer begins there [B, N, L]; those that are none have the lowest.
        ends: The same, that it ends there [B, N, L].
        none: Score that there is no answer [B].
        char_starts: Where each token begins in the context, in characters [B, N, L].
        char_ends: Where it ends, exclusive [B, N, L].
        context: The characters of the context (Unicode), filled up with 0 [B, C].
    """

    starts: Tensor
    ends: Tensor
    none: Tensor
    char_starts: Tensor
    char_ends: Tensor
    context: Tensor

    def logs(self, side: Tensor) -> Tensor:
        """Log probabilities of all places, those of all windows and none at last [B, N · L + 1], in float32.

        Args:
            side: ``starts`` or ``ends``.
        """
        scores = torch.cat([side.flatten(1), self.none.unsqueeze(1)], 1)
        return scores.float().log_softmax(1) if scores.dtype != torch.float64 else scores.log_softmax(1)


class AnswerScorer(nn.Module):
    """Linear maps of each token, and of the mean of the windows.

    Args:
        features: Width D.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.none = nn.Linear(features, 1)
        self.ends = nn.Linear(features, 2)

    def forward(self, tokens: Tensor, pooled: Tensor, mask: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of starts and ends [B, N, L], and of no answer [B].

        Args:
            tokens: [B, N, L, D].
            pooled: [B, N, D].
            mask: True at real tokens [B, N, L].
            present: True at real windows [B, N].
        """
        scores = self.ends(tokens)
        scores = scores.masked_fill(~mask.unsqueeze(-1), torch.finfo(scores.dtype).min)
        weights = present.unsqueeze(-1).to(pooled.dtype)
        mean = (pooled * weights).sum(1) / weights.sum(1)
        return scores[..., 0], scores[..., 1], self.none(mean).squeeze(-1)
