"""One label of several for each example: a text, a pair of texts, an image."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    BinaryAUROC,
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassStatScores,
)
from torchmetrics.utilities import dim_zero_cat

from mtl_lightning.errors import UserError
from mtl_lightning.tasks.base import IGNORE, full_precision, name_of
from mtl_lightning.tasks.labelled import LabelledTask, fill_missing, mean_cross_entropy
from mtl_lightning.tasks.missing import Missing


class AreaUnderROC(BinaryAUROC):
    """torchmetrics' metric, but NaN where a class is absent: there the curve is not defined; torchmetrics says 0."""

    def compute(self) -> Tensor:  # type: ignore[override]
        """Area under the curve, a scalar."""
        targets = dim_zero_cat(self.target)
        return super().compute() if targets.min() < targets.max() else torch.full((), torch.nan, device=self.device)


class SequenceClassification(LabelledTask):
    """Binary or multi-class classification of whole examples, by cross entropy over the labels.

    Metrics: ``accuracy``; ``f1`` (macro; with two labels that of the second, positive one); with two labels also
    ``auroc``, which is NaN where all examples have the same label.

    Args:
        labels: Label names, in the order of the outputs; null: those of the training split, sorted.
        main_metric: The metric that stands for the task.
        dropout: Before the head.
        label_smoothing: See torch's cross entropy.
        missing: Words that mean "no label" in the data, one or a list, say ``[NA, none]``; None, blank texts and NaN
            always do.
    """

    def __init__(
        self,
        labels: Sequence[str | int] | None = None,
        main_metric: str = "accuracy",
        dropout: float = 0.1,
        label_smoothing: float = 0.0,
        missing: Missing = None,
    ) -> None:
        super().__init__(labels, main_metric, dropout, missing)
        self.label_smoothing = label_smoothing

    def encode(self, value: Any) -> int:
        return IGNORE if self.is_missing(value) else self.index(value)

    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any:
        return None if self.is_missing(value) else rename(name_of(value))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return mean_cross_entropy(logits, targets, self.label_smoothing)

    def build(self, features: int) -> None:
        if self.main_metric == "auroc" and self.num_outputs != 2:
            raise UserError(
                f"`main_metric` is 'auroc', which needs two labels, but the task has {self.num_outputs}; "
                "choose from accuracy, f1"
            )
        super().build(features)

    def metrics(self) -> MetricCollection:
        count = self.num_outputs
        metrics: dict[str, Metric | MetricCollection] = {
            "accuracy": MulticlassAccuracy(count, average="micro", ignore_index=IGNORE),
            "f1": MulticlassF1Score(count, average="macro", ignore_index=IGNORE),
            "label_counts": MulticlassStatScores(count, average=None, ignore_index=IGNORE),
        }
        if count == 2:
            metrics["f1"] = BinaryF1Score(ignore_index=IGNORE)
            metrics["auroc"] = AreaUnderROC(ignore_index=IGNORE)
        return MetricCollection(metrics, compute_groups=False)

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        logits = full_precision(logits)
        positive = logits.softmax(-1)[:, 1]
        for metric in metrics.values():
            metric.update(positive if isinstance(metric, BinaryF1Score | BinaryAUROC) else logits, targets)

    def decode(self, logits: Tensor, mask: Tensor | None) -> list[dict[str, Any]]:
        assert self.labels is not None
        probability, index = full_precision(logits).softmax(-1).max(-1)
        return [
            {"label": self.labels[i], "probability": p}
            for i, p in zip(index.tolist(), probability.tolist(), strict=True)
        ]

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        return fill_missing(logits.argmax(-1) == targets, torch.eq(targets, IGNORE))
