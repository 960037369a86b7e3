"""Yes or no for each pixel: edges, saliency, a mask."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryF1Score,
    BinaryJaccardIndex,
    BinaryPrecision,
    BinaryRecall,
)

from mtl_lightning.decoding.pixels import MaskDecoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks.base import IGNORE
from mtl_lightning.tasks.dense.arrays import first_place, grey, label_array
from mtl_lightning.tasks.dense.base import DenseTask
from mtl_lightning.tasks.dense.batch_means import Convention
from mtl_lightning.tasks.dense.decoders import Architecture
from mtl_lightning.tasks.scoring import Catalogue


class DenseBinary(DenseTask):
    """Yes or no for each pixel, such as edges or saliency, by binary cross entropy.

    A label is an array [H, W] of 0 and 1, or of 0 and 255 as masks in images are.

    Metrics: ``iou``, ``f1``, ``precision``, ``recall`` (of the pixels that are 1), ``accuracy``; all are better when
    higher.

    A prediction is ``{"probabilities": [[…], …]}``.

    Args:
        positive_weight: How much a pixel that is 1 counts in the loss; above 1 where few are, as of edges.
        threshold: Probability from which on a pixel counts as 1, between 0 and 1.
        ignore_index: Numbers that mean "no label", one or a list.
        main_metric: The metric that stands for the task; ``loss`` is one.
        architecture: Of the head, see :class:`DenseTask`.
        width: Channels inside the head.
        dropout: Before the head.
        metrics: What to report; null: ``iou`` and ``f1``.
        convention: ``exact`` or ``batch_means``, see :class:`DenseTask`.
    """

    usual_metrics: ClassVar[tuple[str, ...]] = ("iou", "f1")
    beside_labels = DenseTask.beside_labels | {"positive_weight", "threshold"}

    def __init__(
        self,
        positive_weight: float = 1.0,
        threshold: float = 0.5,
        ignore_index: int | list[int] = -1,
        main_metric: str = "iou",
        architecture: Architecture = "fcn",
        width: int = 32,
        dropout: float = 0.0,
        metrics: list[str] | None = None,
        convention: Convention = "exact",
    ) -> None:
        super().__init__(main_metric, architecture, width, dropout, metrics, convention)
        if not positive_weight > 0:
            raise UserError(f"`positive_weight` must be positive, found {positive_weight}")
        if not 0 < threshold < 1:
            raise UserError(f"`threshold` must be between 0 and 1, found {threshold}")
        self.positive_weight, self.threshold, self.ignore_index = positive_weight, threshold, ignore_index

    def adapted(self) -> dict[str, Any]:
        return {"threshold": self.threshold}

    def encode(self, value: Any) -> np.ndarray | None:
        if self.is_missing(value):
            return None
        array = label_array(value)
        ignored = np.isin(array, self.ignore_index)
        if (wrong := ~(np.isin(array, (0, 1, 255)) | ignored)).any():
            raise UserError(
                f"expected 0 and 1, or 0 and 255, found {array[wrong][0]:g} {first_place(wrong)}; add it to "
                "`ignore_index` if it means 'no label'"
            )
        return np.where(ignored, np.int8(IGNORE), (array > 0).astype(np.int8))

    @property
    def num_outputs(self) -> int:
        return 1

    def errors(self, logits: Tensor, targets: Tensor) -> Tensor:
        weight = torch.full((), self.positive_weight, dtype=logits.dtype, device=logits.device)
        wanted = (targets == 1).to(logits.dtype)
        return binary_cross_entropy_with_logits(logits[:, 0], wanted, pos_weight=weight, reduction="none")

    def catalogue(self) -> Catalogue:
        made = {
            "iou": BinaryJaccardIndex,
            "f1": BinaryF1Score,
            "precision": BinaryPrecision,
            "recall": BinaryRecall,
            "accuracy": BinaryAccuracy,
        }
        return {name: lambda kind=kind: kind(threshold=self.threshold) for name, kind in made.items()}  # type: ignore[misc]

    def compared(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        return logits[:, 0].sigmoid(), targets

    def decoder(self) -> MaskDecoder:
        return MaskDecoder()

    def predicted(self, logits: Tensor) -> Tensor:
        return logits[:, 0].sigmoid()

    def coloured(self, values: np.ndarray, label: np.ndarray) -> np.ndarray:
        return grey(values)

    def summary(self, target: Tensor) -> str:
        return f"{target.double().mean():.1%} of {len(target):,} pixels"
