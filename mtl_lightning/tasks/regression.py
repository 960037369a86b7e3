"""A number for each example."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, PearsonCorrCoef

from mtl_lightning.errors import UserError, shown
from mtl_lightning.tasks.base import Task, full_precision


class Regression(Task):
    """Regression of one number, by the squared error of the standardised target.

    The head predicts ``(target - mean) / std``, so that losses of tasks on different scales are comparable; metrics and
    predictions are in the target's own unit.

    Metrics: ``pearson``, ``rmse``, ``mae``.

    Args:
        mean: Of the target; null: the training split's.
        std: Standard deviation of the target; null: the training split's.
        main_metric: The metric that stands for the task.
        dropout: Before the head.
    """

    missing = math.nan
    lower_is_better = frozenset({"rmse", "mae"})

    def __init__(
        self,
        mean: float | None = None,
        std: float | None = None,
        main_metric: str = "pearson",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(main_metric, dropout)
        if std is not None and not std > 0:
            raise UserError(f"`std` must be positive, found {std}")
        self.mean = mean
        self.std = std

    def adapt(self, values: Iterable[Any]) -> None:
        targets = np.array([number for value in values if (number := _number(value)) is not None])
        if len(targets) == 0:
            raise UserError("has no label in the training split")
        self.mean = float(targets.mean()) if self.mean is None else self.mean
        self.std = (float(targets.std()) or 1.0) if self.std is None else self.std

    def adapted(self) -> dict[str, Any]:
        return {} if self.mean is None or self.std is None else {"mean": self.mean, "std": self.std}

    def encode(self, value: Any) -> float:
        if value is None or (isinstance(value, str) and not value):
            return math.nan
        number = _number(value)
        if number is None:
            raise UserError(f"expected a finite number, found {shown(value)}")
        return number

    def check(self, value: Any) -> None:
        self.encode(value)

    @property
    def num_outputs(self) -> int:
        return 1

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        assert self.mean is not None and self.std is not None, "adapt() comes first"
        present = ~targets.isnan()
        errors = mse_loss(
            full_precision(logits[:, 0]), ((targets - self.mean) / self.std).nan_to_num(), reduction="none"
        )
        return (errors * present).sum() / present.sum().clamp(min=1)

    def metrics(self) -> MetricCollection:
        return MetricCollection(
            {
                "pearson": PearsonCorrCoef(),
                "rmse": MeanSquaredError(squared=False),
                "mae": MeanAbsoluteError(),
            },
            compute_groups=False,
        )

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        present = ~targets.isnan()
        if present.any():
            metrics.update(self._predict(logits)[present], targets[present])

    def decode(self, logits: Tensor, mask: Tensor | None) -> list[dict[str, Any]]:
        return [{"value": value} for value in self._predict(logits).tolist()]

    def _predict(self, logits: Tensor) -> Tensor:
        assert self.mean is not None and self.std is not None, "adapt() comes first"
        return torch.add(full_precision(logits[:, 0]) * self.std, self.mean)


def _number(value: Any) -> float | None:
    if isinstance(value, str) and "_" in value:  # Python's own way to group digits
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
