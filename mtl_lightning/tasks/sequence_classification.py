"""One label of several for each example: a text, a pair of texts, an image."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryCalibrationError, MulticlassCalibrationError

from mtl_lightning.decoding import Decoder, LabelDecoder
from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels import Missing
from mtl_lightning.tasks.base import IGNORE, full_precision
from mtl_lightning.tasks.class_catalogue import class_metrics
from mtl_lightning.tasks.curves import CURVES, CurveScore, curve_metrics
from mtl_lightning.tasks.grouped_auroc import GroupedAUROC
from mtl_lightning.tasks.label_counts import LabelCounts
from mtl_lightning.tasks.label_names import name_of, positions
from mtl_lightning.tasks.label_scores import AGREEMENTS, FOUND, RATIOS
from mtl_lightning.tasks.labelled import LabelledTask, fill_missing
from mtl_lightning.tasks.losses import check_fraction, check_gamma, mean_cross_entropy
from mtl_lightning.tasks.probability_scores import Bias, LogLoss, probability_metrics
from mtl_lightning.tasks.scoring import Catalogue, Scoring, check_effect, choose

_OF_TWO = {"positive": "set `average_over`", "pos_weight": "set `class_weights`", "group": "leave it out"}
"""Settings for two labels, and what to do where there are more."""

_OF_POSITIVE = ("bias", "calibration_error", "grouped_auroc")
"""Metrics of the positive label of two, beside those that could be averaged."""


class SequenceClassification(LabelledTask):
    """Binary or multi-class classification of whole examples, by cross entropy over the labels.

    Metrics: ``accuracy``, ``balanced_accuracy``, ``precision``, ``recall``, ``f1``, ``specificity``, ``mcc``
    (Matthews), ``kappa`` (Cohen), ``quadratic_kappa``, ``auroc``, ``average_precision``, ``log_loss``,
    ``calibration_error`` (the expected one, of 15 bins). With two labels also ``bias``, the mean predicted probability
    of the positive label minus its share, and ``grouped_auroc``, the mean area of ``group``'s groups. Then precision,
    recall, f1, specificity and the areas are those of the positive label; with more, or where ``average`` says so, they
    are averaged over the labels (``macro`` by default). ``f1_macro``, ``f1_macro_present`` (over the labels that some
    example has), ``f1_micro``, ``f1_weighted`` name an average themselves, and so for the others. An area is NaN where
    all examples have the same label.

    Args:
        labels: Label names, in the order of the outputs; null: those of the training split, sorted.
        main_metric: The metric that stands for the task; ``loss`` is one.
        dropout: Before the head.
        label_smoothing: See torch's cross entropy.
        missing: Words that mean "no label" in the data, one or a list, say ``[NA, none]``; None, blank texts and NaN
            always do.
        metrics: What to report; null: ``accuracy`` and ``f1``, with two labels also ``auroc``. The main metric is
            always reported.
        average: Of precision, recall, f1, specificity and areas over the labels. Null: none with two labels, else
            ``macro``.
        average_over: Labels that these averages are taken over; null: all.
        positive: With two labels, the positive one; null: the second.
        class_weights: Weight of each label in the loss, such as ``{no: 1, yes: 5}``, or ``balanced``: n / (K · count)
            from the labels of the training split.
        pos_weight: With two labels, the weight of the positive one in the loss, or ``balanced``: negatives / positives.
        focal_gamma: Above 0: focal loss, which multiplies each loss by (1 - p)^gamma; 2 is usual.
        group: With two labels, a column of the data, such as ``user``, inside whose values ``grouped_auroc`` compares
            examples; see :class:`.GroupedAUROC`.
    """

    lower_is_better = frozenset({"log_loss", "calibration_error"})
    beside_labels = LabelledTask.beside_labels | {"group"}
    averaged = (*RATIOS, *CURVES)

    def __init__(
        self,
        labels: Sequence[str | int] | None = None,
        main_metric: str = "accuracy",
        dropout: float = 0.1,
        label_smoothing: float = 0.0,
        missing: Missing = None,
        metrics: list[str] | None = None,
        average: Literal["macro", "micro", "weighted"] | None = None,
        average_over: list[str | int] | None = None,
        positive: str | int | bool | None = None,
        class_weights: dict[str | int, float] | str | None = None,
        pos_weight: float | str | None = None,
        focal_gamma: float = 0.0,
        group: str | None = None,
    ) -> None:
        scoring = Scoring(metrics, average, average_over)
        super().__init__(labels, main_metric, dropout, missing, scoring, class_weights, pos_weight)
        if class_weights is not None and pos_weight is not None:
            raise UserError("`class_weights` and `pos_weight` weight the same loss; set one of them")
        check_fraction("label_smoothing", label_smoothing)
        check_gamma(focal_gamma)
        self.label_smoothing = label_smoothing
        self.positive = positive
        self.focal_gamma = focal_gamma
        self.group = group
        if group is None and "grouped_auroc" in (main_metric, *(metrics or ())):
            raise UserError("`grouped_auroc` needs `group`: name a column of the data, say `group: user`")
        if main_metric == "bias":
            raise UserError("`main_metric`: neither a higher nor a lower bias is better; choose another, say log_loss")

    def encode(self, value: Any) -> int:
        return IGNORE if self.is_missing(value) else self.index(value)

    def in_words(self, target: Tensor) -> str | None:
        return self.name_at(int(target))

    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any:
        return None if self.is_missing(value) else rename(name_of(value))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return mean_cross_entropy(logits, targets, self.label_smoothing, self.label_weights, self.focal_gamma)

    @property
    def positive_index(self) -> int | None:
        """Position of the positive label; null where there are more than two labels.

        Raises:
            UserError: If the config names one, but there are more than two labels, or it is none of them.
        """
        assert self.labels is not None, "adapt() comes first"
        if len(self.labels) == 2:
            return 1 if self.positive is None else positions("positive", [self.positive], self.labels)[0]
        for key, instead in _OF_TWO.items():
            if getattr(self, key) is not None:
                raise UserError(f"`{key}` needs two labels, but the task has {len(self.labels)}; {instead}")
        return None

    def balanced_positive(self, weights: dict[str | int, float]) -> float:
        assert self.labels is not None and self.positive_index is not None
        return weights[self.labels[self.positive_index]]

    def ordered_weights(self) -> list[float] | None:
        if not isinstance(self.pos_weight, int | float):
            return super().ordered_weights()
        return [self.pos_weight if i == self.positive_index else 1.0 for i in range(2)]

    def metrics(self) -> MetricCollection:
        usual = ["accuracy", "f1"] + (["auroc"] if self.num_outputs == 2 else [])
        usual += [] if self.group is None else ["grouped_auroc"]
        chosen = choose(self._catalogue(), usual, self._scoring.names, self.main_metric)
        check_effect(self._scoring, list(chosen), tuple(RATIOS) if self.num_outputs == 2 else self.averaged)
        chosen["label_counts"] = LabelCounts(self.num_outputs)
        return MetricCollection(dict(chosen), compute_groups=False)

    def _catalogue(self) -> Catalogue:
        assert self.labels is not None, "adapt() comes first"
        over, positive = self.chosen(self.labels), self.positive_index
        plain = positive if self._scoring.average is None and over is None else None
        made = class_metrics(self.labels, self._scoring.average or "macro", over, plain)
        curves = curve_metrics(self._scoring, 1 if positive is not None else len(over or self.labels))
        grouped = {} if self.group is None else {"grouped_auroc": GroupedAUROC}
        return {**made, **curves, **grouped, **probability_metrics(self.num_outputs)}

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        predicted, present = logits.argmax(-1), torch.ne(targets, IGNORE)
        for metric in metrics.values():
            if isinstance(metric, CurveScore | Bias | BinaryCalibrationError):
                metric.update(*self._for_curves(logits, targets))
            elif isinstance(metric, LogLoss):
                metric.update(full_precision(logits[present]), targets[present])
            elif isinstance(metric, MulticlassCalibrationError):
                metric.update(full_precision(logits[present]).softmax(-1), targets[present])
            elif not isinstance(metric, GroupedAUROC):
                metric.update(predicted, targets)

    def update_grouped(self, metrics: MetricCollection, logits: Tensor, targets: Tensor, groups: Tensor) -> None:
        scores, truth = self._for_curves(logits, targets)
        for metric in metrics.values():
            if isinstance(metric, GroupedAUROC):
                metric.update(scores[:, 0], truth[:, 0], groups[torch.ne(targets, IGNORE)])

    def undefined(self, constant: float) -> set[str]:
        plain = self._scoring.average is None and self._scoring.over is None
        negative = self.positive_index is not None and plain and constant != self.positive_index
        return {*AGREEMENTS, *(FOUND if negative else ())}

    def _for_curves(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of the labels that areas are taken of, and whether they are right, both [B', K]."""
        assert self.labels is not None
        present, positive = torch.ne(targets, IGNORE), self.positive_index
        scores, truth = full_precision(logits[present]).softmax(-1), one_hot(targets[present], self.num_outputs)
        labels = self.chosen(self.labels) if positive is None else [positive]
        return (scores, truth) if labels is None else (scores[:, labels], truth[:, labels])

    def describe(self, metric: str) -> str:
        positive = self.positive_index
        averaged = self._scoring.average is not None or self._scoring.over is not None
        if positive is None or metric not in (*self.averaged, *_OF_POSITIVE) or (averaged and metric in RATIOS):
            return super().describe(metric)
        assert self.labels is not None
        return f"{metric} (of '{self.labels[positive]}')"

    def decoder(self) -> Decoder:
        assert self.labels is not None, "adapt() comes first"
        return LabelDecoder(tuple(self.labels))

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor:
        return fill_missing(logits.argmax(-1) == targets, torch.eq(targets, IGNORE))
