"""Any number of labels for each example."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchmetrics import MetricCollection
from torchmetrics.classification import MultilabelF1Score, MultilabelStatScores

from mtl_lightning.errors import UserError, shown
from mtl_lightning.tasks.base import full_precision, is_missing, name_of
from mtl_lightning.tasks.labelled import LabelledTask, fill_missing


class MultiLabelClassification(LabelledTask):
    """Multi-label classification of whole examples, by binary cross entropy a label.

    A raw label is a list of names, or a text of names joined by ``separator``. None and an empty text are missing
    labels; an empty list says that no label applies.

    Metrics: ``f1`` (macro), ``f1_micro``.

    Args:
        labels: Label names, in the order of the outputs; null: those of the training split, sorted.
        main_metric: The metric that stands for the task.
        separator: Between the names in a text.
        threshold: Probability above which a label is predicted.
        dropout: Before the head.
    """

    missing = math.nan

    def __init__(
        self,
        labels: Sequence[str | int] | None = None,
        main_metric: str = "f1",
        separator: str = ",",
        threshold: float = 0.5,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(labels, main_metric, dropout)
        if not separator:
            raise UserError("`separator` must not be empty")
        self.separator = separator
        self.threshold = threshold

    def names(self, value: Any) -> list[str]:
        if is_missing(value):
            return []
        if not isinstance(value, str | list | tuple):
            raise UserError(f"expected a list of labels, or a text of them, found {shown(value)}")
        names = value.split(self.separator) if isinstance(value, str) else value
        stripped = (name_of(name).strip() for name in names if not is_missing(name))
        return [name for name in stripped if name]

    def encode(self, value: Any) -> list[float]:
        if is_missing(value):
            return [math.nan] * self.num_outputs
        chosen = {self.index(name) for name in self.names(value)}
        return [float(i in chosen) for i in range(self.num_outputs)]

    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any:
        return value if is_missing(value) else list(map(rename, self.names(value)))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        present = ~targets.isnan()
        losses = binary_cross_entropy_with_logits(full_precision(logits), targets.nan_to_num(), reduction="none")
        return (losses * present).sum() / present.sum().clamp(min=1)

    def metrics(self) -> MetricCollection:
        count = self.num_outputs
        return MetricCollection(
            {
                "f1": MultilabelF1Score(count, self.threshold, average="macro"),
                "f1_micro": MultilabelF1Score(count, self.threshold, average="micro"),
                "label_counts": MultilabelStatScores(count, self.threshold, average=None),
            },
            compute_groups=False,
        )

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        present = ~targets.isnan().any(-1)
        if present.any():
            metrics.update(full_precision(logits[present]).sigmoid(), targets[present].long())

    def decode(self, logits: Tensor, mask: Tensor | None) -> list[dict[str, Any]]:
        assert self.labels is not None
        rows = full_precision(logits).sigmoid().tolist()
        return [_chosen({n: p for n, p in zip(self.labels, row, strict=True) if p > self.threshold}) for row in rows]

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        right = ((full_precision(logits).sigmoid() > self.threshold) == targets.nan_to_num().bool()).all(-1)
        return fill_missing(right, targets.isnan().any(-1))


def _chosen(probabilities: dict[str, float]) -> dict[str, Any]:
    return {"labels": list(probabilities), "probabilities": list(probabilities.values())}
