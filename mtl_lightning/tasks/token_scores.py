"""Means over tokens."""

from typing import Literal

import torch
from torch import Tensor

from mtl_lightning.tasks.means import MeanScore


class TokenMean(MeanScore):
    """The mean over tokens of one of two things that are known of each, or its exponential.

    Args:
        of: ``losses``, the negative logarithms of probabilities, of whose mean the exponential is the perplexity; or
            ``right``, whether the most probable token is the right one.

    >>> losses, right = torch.tensor([0.0, 1.0, 9.0]), torch.tensor([1.0, 0.0, 0.0])
    >>> metric = TokenMean("losses")
    >>> metric.update(losses, right, torch.tensor([True, True, False]))
    >>> round(float(metric.compute()), 3)
    1.649
    """

    def __init__(self, of: Literal["losses", "right"]) -> None:
        super().__init__()
        self.of = of

    def update(self, losses: Tensor, right: Tensor, present: Tensor) -> None:
        """Takes some tokens.

        Args:
            losses: Of each, of any shape.
            right: 1 or 0, of the same shape.
            present: Which of them count, of the same shape.
        """
        values = losses if self.of == "losses" else right
        self.add(torch.where(present, values, 0.0).sum(dtype=torch.float64), present.sum())

    def compute(self) -> Tensor:
        """A scalar; NaN where there was no token."""
        mean = self.total / self.number
        return (mean.exp() if self.of == "losses" else mean).float()


class ExactMatch(MeanScore):
    """The part of the texts of which each token is the most probable one: those that greedy decoding writes.

    >>> metric, right = ExactMatch(), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    >>> metric.update(torch.zeros(2, 2), right, torch.tensor([[True, True], [True, True]]))
    >>> float(metric.compute())
    0.5
    """

    def update(self, losses: Tensor, right: Tensor, present: Tensor) -> None:
        """Takes some texts; arguments as of :class:`TokenMean`, each [B, T]."""
        there = present.any(1)
        self.add((((right > 0) | ~present).all(1) & there).sum(), there.sum())
