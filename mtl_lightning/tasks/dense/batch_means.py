"""Means over batches of what a metric is on each batch."""

from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

Convention = Literal["exact", "batch_means"]
"""What metrics of pixels are taken over."""


class BatchMean(Metric):
    r"""The mean over batches of a metric's value on each: :math:`\frac1n \sum_b m(b)`, medians included.

    It is what the evaluation loops of MTAN, PCGrad, CAGrad and Nash-MTL report on NYUv2, and it depends on how the
    split is cut into batches. Over several processes, each one's batches count alike.

    Args:
        metric: Whose value it is; it is reset before each batch.

    >>> from torchmetrics import MaxMetric
    >>> mean = BatchMean(MaxMetric())
    >>> mean.update(torch.tensor([1.0, 2.0]))
    >>> mean.update(torch.tensor([4.0]))
    >>> mean.compute()
    tensor(3., dtype=torch.float64)
    """

    full_state_update = False
    total: Tensor
    batches: Tensor

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        metric.sync_on_compute = False
        self.metric = metric
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("batches", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, *values: Any) -> None:
        """Takes a batch, as the metric does."""
        self.metric.reset()
        self.metric.update(*values)
        self.total += self.metric.compute()
        self.batches += 1
        self.metric.reset()

    def compute(self) -> Tensor:
        """The mean, a scalar; NaN of no batch."""
        return self.total / self.batches
