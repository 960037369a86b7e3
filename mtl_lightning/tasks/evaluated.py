"""How a task is judged: metrics, and what is said of them."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import MetricCollection

LOSS = "loss"
"""The task's loss, which each evaluation has beside the metrics."""


class LabelScores(dict[str, Tensor]):
    """Rows of a per-label report: ``precision``, ``recall``, ``f1`` and ``support``, each [C]."""

    @classmethod
    def from_counts(cls, true_positives: Tensor, false_positives: Tensor, false_negatives: Tensor) -> "LabelScores":
        """Scores from counts [C]; a ratio with an empty denominator is 0, as in scikit-learn."""
        tp, fp, fn = (counts.to(torch.float64) for counts in (true_positives, false_positives, false_negatives))

        def ratio(part: Tensor, whole: Tensor) -> Tensor:
            return torch.where(whole > 0, part / whole.clamp(min=1), 0.0)

        return cls(
            precision=ratio(tp, tp + fp), recall=ratio(tp, tp + fn), f1=ratio(2 * tp, 2 * tp + fp + fn), support=tp + fn
        )


class Evaluated(ABC):
    """What an evaluation asks of a task."""

    main_metric: str
    lower_is_better: ClassVar[frozenset[str]]
    _remarks: list[str]

    @property
    def writes_as(self) -> str | None:
        """Says how a task without parameters of its own predicts: those of which it is equal predict the same, so that
        one is asked for all. Null, as by default: it predicts what no other task does.
        """
        return None

    def with_targets(self, logits: Any, targets: Tensor) -> Any:
        """What ``loss``, ``update`` and ``correct`` are given in an evaluation: logits, or what depends on the targets,
        too, and is to be computed once for all of them.
        """
        return logits

    @abstractmethod
    def metrics(self) -> MetricCollection:
        """Fresh metrics by plain name; ``label_counts``, where there, feeds the per-label report and is not logged."""

    @abstractmethod
    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        """Feeds a batch to ``metrics``, without the labels that are missing."""

    def update_grouped(  # noqa: B027 - few have such metrics
        self, metrics: MetricCollection, logits: Tensor, targets: Tensor, groups: Tensor
    ) -> None:
        """Feeds a batch to metrics that compare inside ``groups`` [B], numbers that are -1 for examples in none."""

    def correct(self, logits: Tensor, targets: Tensor) -> Tensor | None:
        """Whether all labels of an example are right: 1 or 0 [B], NaN where a label is missing. None: not defined."""
        return None

    def report(self, counts: Any) -> Mapping[str, LabelScores]:
        """Per-label scores from what ``label_counts`` computed: label name → scalars. Empty where there are none."""
        return {}

    def undefined(self, constant: float) -> Collection[str]:
        """The metrics that say nothing where all targets are equal.

        Args:
            constant: The encoded label that they all are.
        """
        return ()

    def describe(self, metric: str) -> str:
        """A metric as tables show it: its name, and what it is an average of or which label it is of."""
        return metric

    def remarks(self) -> list[str]:
        """What to tell the user of the task before training: what ``adapt`` did, or found doubtful; a line each."""
        return self._remarks

    @property
    def higher_is_better(self) -> bool:
        """Direction of the main metric."""
        return self.main_metric not in {LOSS, *self.lower_is_better}
