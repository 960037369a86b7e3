"""Metrics of pixels, over all of them, whatever batches they come in."""

from functools import partial

import torch
from torch import Tensor
from torchmetrics import CatMetric, MeanAbsoluteError, MeanAbsolutePercentageError, MeanMetric, MeanSquaredError, Metric

from mtl_lightning.tasks.scoring import Catalogue

LIMITS = {"within_11_25": 11.25, "within_22_5": 22.5, "within_30": 30.0}
"""Angles in degrees below which a normal counts as right, by metric."""


class Median(CatMetric):
    """The median of all values; of an even number, the mean of the middle two. It keeps all values, 4 bytes each.

    >>> median = Median()
    >>> median.update(torch.tensor([3.0, 1.0]))
    >>> median.update(torch.tensor([2.0, 8.0]))
    >>> median.compute()
    tensor(2.5000)
    """

    def compute(self) -> Tensor:
        """A scalar; NaN of no value."""
        found = super().compute()
        values = torch.cat([each.flatten() for each in found]) if isinstance(found, list) else found.flatten()
        if not len(values):
            return torch.full((), torch.nan, device=values.device)
        ordered, middle = values.sort().values, (len(values) - 1) // 2
        return ordered[middle : middle + 2 - len(values) % 2].mean()


class ShareBelow(Metric):
    """The share of values below a limit.

    Args:
        limit: The values must be smaller.
    """

    full_state_update = False
    below: Tensor
    total: Tensor

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.add_state("below", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, values: Tensor) -> None:
        """Takes values [N]."""
        self.below += (values < self.limit).sum()
        self.total += values.numel()

    def compute(self) -> Tensor:
        """A scalar from 0 to 1; NaN of no value."""
        return self.below.double() / self.total


def angle_metrics() -> Catalogue:
    """What makes each metric of angles in degrees."""
    return {
        "mean_angle": lambda: MeanMetric().set_dtype(torch.float64),
        "median_angle": Median,
        **{name: partial(ShareBelow, limit) for name, limit in LIMITS.items()},
    }


def depth_metrics() -> Catalogue:
    """What makes each metric of depth."""
    return {
        "abs_err": lambda: MeanAbsoluteError().set_dtype(torch.float64),
        "rel_err": lambda: MeanAbsolutePercentageError().set_dtype(torch.float64),
        "rmse": lambda: MeanSquaredError(squared=False).set_dtype(torch.float64),
    }
