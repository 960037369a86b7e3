"""Metrics that are a mean, as sums that several processes can add."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanScore(Metric):
    """The mean of what ``update`` of a subclass adds, summed in float64; torchmetrics' ``MeanMetric`` takes float32."""

    full_state_update = False
    total: Tensor
    number: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("total", "number"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def add(self, total: Tensor | float, number: Tensor | int) -> None:
        """Adds some values.

        Args:
            total: Their sum.
            number: How many there are.
        """
        self.total += total
        self.number += number

    def compute(self) -> Tensor:
        """A scalar; NaN where there was nothing."""
        return (self.total / self.number).float()
