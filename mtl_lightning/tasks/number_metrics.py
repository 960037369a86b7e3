"""The metrics of regression."""

import warnings

import torch
from torch import Tensor
from torchmetrics import (
    ConcordanceCorrCoef,
    ExplainedVariance,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    R2Score,
    SpearmanCorrCoef,
)

from mtl_lightning.tasks.correlation import Correlation
from mtl_lightning.tasks.scoring import Catalogue


class CoefficientOfDetermination(R2Score):
    """torchmetrics' metric, but NaN of fewer than two examples: there it raises."""

    def compute(self) -> Tensor:
        """1 - Σ error² / Σ (target - mean)², a scalar."""
        return super().compute() if self.total > 1 else torch.full((), torch.nan, device=self.device)


def _spearman() -> Metric:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `SpearmanC.*` will save all")  # as it says of itself
        return SpearmanCorrCoef()


def number_metrics(unit: float) -> Catalogue:
    """What makes each metric.

    Args:
        unit: What the numbers that the metrics are given are multiples of; errors are in the target's own unit.
    """
    return {
        "pearson": Correlation,
        "spearman": _spearman,
        "ccc": ConcordanceCorrCoef,
        "r2": CoefficientOfDetermination,
        "explained_variance": ExplainedVariance,
        "rmse": lambda: MeanSquaredError(squared=False) * unit,
        "mse": lambda: MeanSquaredError() * unit**2,
        "mae": lambda: MeanAbsoluteError() * unit,
    }
