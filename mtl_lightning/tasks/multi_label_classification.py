"""Any number of labels for each example."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchmetrics import MetricCollection
from torchmetrics.classification import MultilabelF1Score, MultilabelStatScores

from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import tidy
from mtl_lightning.tasks.base import full_precision, name_of
from mtl_lightning.tasks.label_set import counted
from mtl_lightning.tasks.labelled import LabelledTask, fill_missing
from mtl_lightning.tasks.lists import listed
from mtl_lightning.tasks.missing import Missing
from mtl_lightning.tasks.vectors import as_vector, common_length


class MultiLabelClassification(LabelledTask):
    """Multi-label classification of whole examples, by binary cross entropy a label.

    A raw label is a list of names; a text of names joined by ``separator``; such a list as CSV writes it (``"['a',
    'b']"``); or a vector of 0 and 1 (or null: not known) with a position for each of ``labels``. None, a blank text and
    a list of missing names are missing labels; an empty list says that no label applies.

    Metrics: ``f1`` (macro), ``f1_micro``.

    Args:
        labels: Label names, in the order of the outputs; null: those of the training split, sorted, or of vectors
            ``label_0``, ``label_1``, and so on.
        main_metric: The metric that stands for the task.
        separator: Between the names in a text.
        threshold: Probability above which a label is predicted.
        dropout: Before the head.
        missing: Words that mean "no label" in the data, one or a list, say ``[NA, none]``.
    """

    missing = math.nan
    several = "if they are, set `separator: '{}'`"

    def __init__(
        self,
        labels: Sequence[str | int] | None = None,
        main_metric: str = "f1",
        separator: str = ",",
        threshold: float = 0.5,
        dropout: float = 0.1,
        missing: Missing = None,
    ) -> None:
        super().__init__(labels, main_metric, dropout, missing)
        if not separator:
            raise UserError("`separator` must not be empty")
        self.separator = separator
        self.threshold = threshold

    def adapt(self, values: Iterable[Any]) -> None:
        known = list(counted(values))
        size = common_length(items for value, _ in known if (items := self._items(value)) is not None)
        if size is None:
            super().adapt(known)
            return
        self._set_labels([f"label_{position}" for position in range(size)])
        self._remarks = [
            f"its labels are vectors of {size} numbers 0 and 1: a label for each position, called 'label_0' to "
            f"'label_{size - 1}'; name them by `labels`"
        ]

    def names(self, value: Any) -> list[str]:
        return [name_of(item).strip() for item in self._items(value) or () if not self.is_missing(item)]

    def encode(self, value: Any) -> list[float]:
        items = self._items(value)
        if items is None:
            return [math.nan] * self.num_outputs
        if (vector := self._vector(items)) is not None:
            return vector
        chosen = {self.index(name) for name in self.names(items)}
        return [float(i in chosen) for i in range(self.num_outputs)]

    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any:
        return None if self._items(value) is None else list(map(rename, self.names(value)))

    def _items(self, value: Any) -> Sequence[Any] | None:
        """What a raw label lists; None if it is missing."""
        if self.is_missing(value):
            return None
        if isinstance(value, str):
            found = listed(value)
            value = [part.strip() for part in value.split(self.separator)] if found is None else found
        if not isinstance(value, list | tuple):
            raise UserError(f"expected a list of labels, or a text of them, found {shown(value)}")
        if any(isinstance(item, float) and not item.is_integer() for item in value if item == item):
            raise UserError(f"expected names of labels, or a vector of 0 and 1, found {shown(value)}")
        return None if len(value) and all(map(self.is_missing, value)) else value

    def _vector(self, items: Sequence[Any]) -> list[float] | None:
        """The items as a vector; None if they are names, as wherever 0 or 1 is one."""
        assert self.labels is not None, "adapt() comes first"
        vector = None if {"0", "1"} & set(map(tidy, self.labels)) else as_vector(items)
        if vector is not None and len(vector) != self.num_outputs:
            raise UserError(
                f"found a vector of {len(vector)} numbers 0 and 1, but the task has {self.num_outputs} labels"
            )
        return vector

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
