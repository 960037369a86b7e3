"""Pearson's correlation, not defined where one side is constant, be it up to rounding."""

import warnings
from typing import Any

import torch
from torch import Tensor
from torchmetrics import PearsonCorrCoef


def is_constant(low: Tensor, high: Tensor, rounding: Tensor | float = 0.0) -> Tensor:
    """Whether numbers between ``low`` and ``high`` are equal up to the rounding of float32; bool, of their shape.

    Args:
        low: The smallest of some numbers; infinite where there is none.
        high: The largest.
        rounding: Differences that are rounding anyway.

    >>> is_constant(torch.tensor([0.1, 0.0, 1.0]), torch.tensor([0.1 + 1e-8, 1e-8, 1.001]))
    tensor([ True, False, False])
    """
    size = torch.maximum(low.abs(), high.abs())
    return size.isfinite() & (high - low <= rounding + 4 * torch.finfo(torch.float32).eps * size)


class Correlation(PearsonCorrCoef):
    """torchmetrics' metric, but NaN where all predictions or all targets are equal, but for rounding.

    >>> correlation = Correlation()
    >>> correlation.update(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.7, 0.7, 0.7]))
    >>> correlation.compute()
    tensor(nan)
    """

    low: Tensor
    high: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("low", torch.full((2,), torch.inf), dist_reduce_fx="min")
        self.add_state("high", torch.full((2,), -torch.inf), dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Takes predictions and targets, each [B]."""
        super().update(preds, target)
        both = torch.stack([preds.float(), target.float()])
        self.low = torch.minimum(self.low, both.min(1).values)
        self.high = torch.maximum(self.high, both.max(1).values)

    def compute(self) -> Tensor:
        """The coefficient, a scalar in [-1, 1]."""
        with warnings.catch_warnings():  # who evaluates says it once, with the task and the split
            warnings.filterwarnings("ignore", message="The variance of predictions or target is close to zero")
            coefficient: Tensor = super().compute()
        return torch.where(is_constant(self.low, self.high).any(), torch.nan, coefficient)
