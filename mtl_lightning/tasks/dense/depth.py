"""The distance of each pixel."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from mtl_lightning.decoding.pixels import DepthDecoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks.base import full_precision
from mtl_lightning.tasks.dense.arrays import first_place, grey, label_array
from mtl_lightning.tasks.dense.base import DenseTask
from mtl_lightning.tasks.dense.batch_means import Convention
from mtl_lightning.tasks.dense.decoders import Architecture
from mtl_lightning.tasks.dense.pixel_metrics import depth_metrics
from mtl_lightning.tasks.scoring import Catalogue

_SMALLEST = 1e-6


class DepthEstimation(DenseTask):
    """Depth estimation: a distance for each pixel, by the absolute error.

    A label is an array of distances [H, W] in any unit, metres say. Pixels of 0, NaN or infinity have none. It may be a
    PNG with 16 bits of grey.

    Metrics: ``abs_err`` (mean absolute error, in the unit of the label), ``rel_err`` (of the absolute error divided by
    the depth), ``rmse``; all are better when lower.

    A prediction is ``{"depth": [[…], …]}``.

    Args:
        mean: What predictions start from; null: the mean of the training split.
        main_metric: The metric that stands for the task; ``loss`` is one.
        architecture: Of the head, see :class:`DenseTask`.
        width: Channels inside the head.
        dropout: Before the head.
        metrics: What to report; null: ``abs_err`` and ``rel_err``.
        convention: ``exact`` or ``batch_means``, see :class:`DenseTask`.
        scale: What labels are multiplied by: 0.001 makes metres of millimetres.
    """

    missing = math.nan
    usual_metrics: ClassVar[tuple[str, ...]] = ("abs_err", "rel_err")
    lower_is_better = frozenset({"abs_err", "rel_err", "rmse"})
    beside_labels = DenseTask.beside_labels | {"mean"}

    def __init__(
        self,
        mean: float | None = None,
        main_metric: str = "abs_err",
        architecture: Architecture = "fcn",
        width: int = 32,
        dropout: float = 0.0,
        metrics: list[str] | None = None,
        convention: Convention = "exact",
        scale: float = 1.0,
    ) -> None:
        super().__init__(main_metric, architecture, width, dropout, metrics, convention)
        if not 0 < scale < math.inf:
            raise UserError(f"`scale` must be positive, found {scale}")
        self.mean, self.scale = mean, scale

    def adapt(self, values: Iterable[Any]) -> None:
        total, count = 0.0, 0
        for found in map(self.encode, values):
            if found is not None:
                total += float(np.nansum(found, dtype=np.float64))
                count += int(np.count_nonzero(~np.isnan(found)))
        if not count:
            raise UserError("has no pixel with a depth in the training split")
        self.mean = total / count

    def adapted(self) -> dict[str, Any]:
        return {} if self.mean is None else {"mean": self.mean}

    def encode(self, value: Any) -> np.ndarray | None:
        if self.is_missing(value):
            return None
        array = label_array(value).astype(np.float32) * np.float32(self.scale)
        if (negative := array < 0).any() and np.isfinite(array[negative]).any():
            wrong = negative & np.isfinite(array)
            raise UserError(
                f"depth {array[wrong][0]:g} {first_place(wrong)} is negative; give distances, and 0 or NaN where there "
                "is none"
            )
        return np.where(np.isfinite(array) & (array > 0), array, np.float32(math.nan))

    @staticmethod
    def moved(label: np.ndarray, zoom: float, mirrored: tuple[bool, bool]) -> np.ndarray:
        """What looks larger, is nearer; see :class:`mtl_lightning.encoders.RandomResizedCrop`."""
        return label / np.float32(zoom)

    @property
    def num_outputs(self) -> int:
        return 1

    def _depth(self, logits: Tensor) -> Tensor:
        assert self.mean is not None, "adapt() comes first"
        return full_precision(logits) + self.mean

    def errors(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (self._depth(logits[:, 0]) - targets.nan_to_num()).abs()

    def catalogue(self) -> Catalogue:
        return depth_metrics()

    def compared(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        return self._depth(logits[:, 0]).double(), targets.double()

    def decoder(self) -> DepthDecoder:
        assert self.mean is not None, "adapt() comes first"
        return DepthDecoder(self.mean)

    def predicted(self, logits: Tensor) -> Tensor:
        return self._depth(logits[:, 0])

    def coloured(self, values: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Grey from the nearest to the farthest pixel of the label: near is dark."""
        measured = label[np.isfinite(label)]
        nearest, farthest = (measured.min(), measured.max()) if measured.size else (0.0, 1.0)
        return grey((np.nan_to_num(values) - nearest) / max(farthest - nearest, _SMALLEST))

    def summary(self, target: Tensor) -> str:
        return f"{target.min():.3g} to {target.max():.3g}, median {target.median():.3g}; {len(target):,} pixels"
