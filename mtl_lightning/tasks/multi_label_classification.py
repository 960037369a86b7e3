"""Any number of labels for each example."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Number
from typing import Any, Literal, TypeVar

from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MultilabelExactMatch

from mtl_lightning.decoding import Decoder, LabelSetDecoder
from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import Counted, Missing, missing_words, tidy
from mtl_lightning.tasks.base import full_precision
from mtl_lightning.tasks.class_weights import positive_weights
from mtl_lightning.tasks.curves import CURVES, CurveScore, curve_metrics
from mtl_lightning.tasks.in_words import Worded
from mtl_lightning.tasks.label_counts import MultiLabelCounts
from mtl_lightning.tasks.label_names import name_of
from mtl_lightning.tasks.label_scores import FOUND, RATIOS, mean_matthews, with_averages
from mtl_lightning.tasks.labelled import LabelledTask, fill_missing
from mtl_lightning.tasks.lists import listed
from mtl_lightning.tasks.losses import check_gamma, mean_binary_cross_entropy
from mtl_lightning.tasks.scoring import Catalogue, Scoring, check_effect, choose, ratio_scores
from mtl_lightning.tasks.soft_losses import mean_binary_divergence
from mtl_lightning.tasks.vectors import as_vector, common_length

T = TypeVar("T")


class MultiLabelClassification(LabelledTask):
    """Multi-label classification of whole examples, by binary cross entropy a label.

    A raw label is a list of names; a text of names joined by ``separator``; such a list as CSV writes it (``"['a',
    'b']"``); or a vector of 0 and 1 (or null: not known) with a position for each of ``labels``. None, a blank text and
    a list of missing names are missing labels; an empty list says that no label applies.

    Metrics: ``f1``, ``precision``, ``recall``, ``specificity``, ``auroc``, ``average_precision``, averaged over the
    labels (``macro`` by default; ``f1_macro``, ``f1_micro``, ``f1_weighted`` name an average themselves, and so for the
    others); ``subset_accuracy`` (examples on which all labels are right), ``mcc`` (Matthews, mean over the labels).

    Args:
        labels: Label names, in the order of the outputs; null: those of the training split, sorted, or of vectors
            ``label_0``, ``label_1``, and so on.
        main_metric: The metric that stands for the task.
        separator: Between the names in a text.
        threshold: Probability above which a label is predicted.
        dropout: Before the head.
        missing: Words that mean "no label" in the data, one or a list, say ``[NA, none]``.
        metrics: What to report; null: ``f1`` and ``f1_micro``. The main metric is always reported.
        average: Of f1, precision, … over the labels; null: ``macro``.
        average_over: Labels that these averages are taken over; null: all.
        pos_weight: Weight in the loss of examples to which a label applies: a number for all labels, one for each, such
            as ``{rare: 9, common: 1}``, or ``balanced``: negatives / positives of each in the training split.
        focal_gamma: Above 0: focal loss, which multiplies each loss by (1 - p)^gamma; 2 is usual.
        empty: Words that say that no label applies, one or a list, say ``none``.
    """

    averaged = (*RATIOS, *CURVES)
    missing = math.nan
    none = ", or `empty` alike if it says that no label applies"
    several = "if they are, set `separator: '{}'`"

    def __init__(
        self,
        labels: Sequence[str | int] | None = None,
        main_metric: str = "f1",
        separator: str = ",",
        threshold: float = 0.5,
        dropout: float = 0.1,
        missing: Missing = None,
        metrics: list[str] | None = None,
        average: Literal["macro", "micro", "weighted"] | None = None,
        average_over: list[str | int] | None = None,
        pos_weight: dict[str | int, float] | float | str | None = None,
        focal_gamma: float = 0.0,
        empty: Missing = None,
    ) -> None:
        scoring = Scoring(metrics, average, average_over)
        super().__init__(labels, main_metric, dropout, missing, scoring, pos_weight=pos_weight)
        check_gamma(focal_gamma)
        self.focal_gamma = focal_gamma
        if not separator:
            raise UserError("`separator` must not be empty")
        self.separator = separator
        self.threshold = threshold
        self.empty = sorted(missing_words(empty)) or None
        if both := self.missing_words & set(self.empty or ()):
            raise UserError(f"`empty` and `missing` both name {min(both)!r}; take it out of one of them")

    def _set_labels(self, labels: Sequence[str | int] | None) -> None:
        super()._set_labels(labels)
        self._reads_vectors = not {"0", "1"} & set(map(tidy, self.labels or []))

    def find_labels(self, values: Sequence[Counted]) -> None:
        found = (items for value, _ in values for items in self._each(value, self._items))
        size = common_length(items for items in found if items is not None)
        if size is None:
            super().find_labels(values)
            return
        self._set_labels([f"label_{position}" for position in range(size)])
        self._remarks = [
            f"its labels are vectors of {size} numbers 0 and 1: a label for each position, called 'label_0' to "
            f"'label_{size - 1}'; name them by `labels`"
        ]

    def names(self, value: Any) -> list[str]:
        found = self._each(value, lambda labels: self._names_of(self._items(labels) or ()))
        return [name for names in found for name in names]

    def encode(self, value: Any) -> Any:
        return self._encode(value)

    def _each(self, value: Any, convert: Callable[[Any], T]) -> list[T]:
        """Something for each thing that a raw label labels: here, the example alone."""
        return [convert(value)]

    def _encode(self, value: Any) -> list[float]:
        items = self._items(value)
        if items is None:
            return [math.nan] * self.num_outputs
        if (vector := self._vector(items)) is not None:
            return vector
        chosen = {self.index(name) for name in self._names_of(items)}
        return [float(i in chosen) for i in range(self.num_outputs)]

    def in_words(self, target: Tensor) -> Worded:
        return self._in_words(target)

    def _in_words(self, target: Tensor) -> str | None:
        assert self.labels is not None, "adapt() comes first"
        pairs = list(zip(self.labels, target.tolist(), strict=True))
        unknown = [label for label, value in pairs if math.isnan(value)]
        if len(unknown) == len(pairs):
            return None
        applies = ", ".join(label for label, value in pairs if value == 1) or "none"
        return f"{applies} ({len(unknown)} of {len(pairs)} missing)" if unknown else applies

    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any:
        return self._relabel(value, rename)

    def _relabel(self, value: Any, rename: Callable[[str], str]) -> list[str] | None:
        items = self._items(value)
        return None if items is None else list(map(rename, self._names_of(items)))

    def _names_of(self, items: Sequence[Any]) -> list[str]:
        return [name_of(item).strip() for item in items if not self.is_missing(item)]

    def _items(self, value: Any) -> Sequence[Any] | None:
        """What a raw label lists; None if it is missing."""
        if self.is_missing(value):
            return None
        if self.empty is not None and isinstance(value, str | Number) and tidy(str(value)) in self.empty:
            return ()
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
        vector = as_vector(items) if self._reads_vectors else None
        if vector is not None and len(vector) != self.num_outputs:
            raise UserError(
                f"found a vector of {len(vector)} numbers 0 and 1, but the task has {self.num_outputs} labels"
            )
        return vector

    def ordered_weights(self) -> list[float] | None:
        return positive_weights(self.pos_weight, self.labels or [])

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return mean_binary_cross_entropy(logits, targets, self.label_weights, self.focal_gamma)

    def soft_loss(self, logits: Tensor, taught: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
        return mean_binary_divergence(logits, taught, temperature, mask)

    def metrics(self) -> MetricCollection:
        chosen = choose(self._catalogue(), ["f1", "f1_micro"], self._scoring.names, self.main_metric)
        check_effect(self._scoring, list(chosen), self.averaged)
        chosen["label_counts"] = MultiLabelCounts(self.num_outputs)
        return MetricCollection(dict(chosen), compute_groups=False)

    def _catalogue(self) -> Catalogue:
        count, over, average = self.num_outputs, self.chosen(self.labels or []), self._scoring.average or "macro"
        scores = {**ratio_scores(list(RATIOS), average, over, absent=True), "mcc": mean_matthews}
        return {
            **{name: partial(MultiLabelCounts, count, score) for name, score in scores.items()},
            **curve_metrics(self._scoring, len(over or self.labels or [])),
            "subset_accuracy": partial(MultilabelExactMatch, count),
        }

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        scores, complete = full_precision(logits).sigmoid(), ~targets.isnan().any(-1)
        predicted = scores > self.threshold
        for metric in metrics.values():
            if isinstance(metric, CurveScore):
                over = self.chosen(self.labels or [])
                metric.update(*((scores, targets) if over is None else (scores[:, over], targets[:, over])))
            elif isinstance(metric, MultiLabelCounts):
                metric.update(predicted, targets)
            elif complete.any():
                metric.update(predicted[complete].long(), targets[complete].long())

    def undefined(self, constant: float) -> set[str]:
        return {"mcc", *(with_averages(FOUND) if constant == 0 else ())}

    def decoder(self) -> Decoder:
        assert self.labels is not None, "adapt() comes first"
        return LabelSetDecoder(tuple(self.labels), self.threshold)

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        right = ((full_precision(logits).sigmoid() > self.threshold) == targets.nan_to_num().bool()).all(-1)
        return fill_missing(right, targets.isnan().any(-1))
