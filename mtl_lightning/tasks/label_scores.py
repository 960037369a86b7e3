"""Scores of classification as functions of counts a label; all tested against scikit-learn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from mtl_lightning.tasks.label_counts import Counts

Average = Literal["macro", "macro_present", "micro", "weighted"]
AVERAGES: tuple[Average, ...] = ("macro", "macro_present", "micro", "weighted")


AGREEMENTS = ("mcc", "kappa", "quadratic_kappa")
"""Scores that compare agreement with chance; where all targets are one label, there is nothing to agree on."""

FOUND = ("f1", "precision", "recall")
"""Scores that tell what was found of a label; where it is nowhere, there is nothing to find."""


def with_averages(names: Sequence[str]) -> list[str]:
    """Names of scores, plain and with each average.

    >>> with_averages(["f1"])
    ['f1', 'f1_macro', 'f1_macro_present', 'f1_micro', 'f1_weighted']
    """
    return [f"{name}{how}" for name in names for how in ("", *(f"_{average}" for average in AVERAGES))]


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``, 0 where the whole is empty, as in scikit-learn."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1), 0.0)


def _specificity(counts: Counts) -> tuple[Tensor, Tensor]:
    negatives = counts.examples - counts.actual
    return negatives - counts.predicted + counts.hits, negatives


RATIOS: Mapping[str, Callable[[Counts], tuple[Tensor, Tensor]]] = {
    "f1": lambda counts: (2 * counts.hits, counts.predicted + counts.actual),
    "precision": lambda counts: (counts.hits, counts.predicted),
    "recall": lambda counts: (counts.hits, counts.actual),
    "specificity": _specificity,
}
"""By name, what is divided by what for each label [C]."""


def averaged(
    counts: Counts, score: str, average: Average, over: Sequence[int] | None = None, absent: bool = False
) -> Tensor:
    """A ratio, averaged over labels.

    Args:
        counts: Of all labels.
        score: One of ``RATIOS``.
        average: ``macro``: the mean over labels, among them those that are predicted but that no example has, as 0;
            ``macro_present``: over the labels that some example has; ``weighted``: by how many examples have the label;
            ``micro``: of the counts of all labels together.
        over: Indices of the labels to average over; null: all.
        absent: Whether a label that no example has and no prediction either counts for ``macro``, as 0.
    """
    part, whole = RATIOS[score](counts)
    counted = (counts.actual > 0) if average == "macro_present" else (counts.predicted + counts.actual > 0) | absent
    weights = counts.actual if average == "weighted" else counted.double()
    if over is not None:
        chosen = torch.tensor(over, device=part.device)
        part, whole, weights = part[chosen], whole[chosen], weights[chosen]
    if average == "micro":
        return ratio(part.sum(), whole.sum())
    return ratio((ratio(part, whole) * weights).sum(), weights.sum())


def accuracy(counts: Counts) -> Tensor:
    """The fraction of examples whose label is right."""
    return ratio(counts.hits.sum(), counts.actual.sum())


def balanced_accuracy(counts: Counts) -> Tensor:
    """The mean recall of the labels that occur."""
    return ratio(ratio(counts.hits, counts.actual).sum(), (counts.actual > 0).sum())


def matthews(counts: Counts) -> Tensor:
    """Matthews' correlation coefficient of several labels; 0 where predictions or targets are all the same.

    Reference: J. Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, 2004.
    """
    total = counts.actual.sum()
    covariance = counts.hits.sum() * total - (counts.predicted * counts.actual).sum()
    spreads = [total.square() - values.square().sum() for values in (counts.predicted, counts.actual)]
    return ratio(covariance, (spreads[0] * spreads[1]).sqrt())


def mean_matthews(counts: Counts) -> Tensor:
    """The mean over labels of Matthews' correlation coefficient of each label against its absence."""
    covariance = counts.hits * counts.examples - counts.predicted * counts.actual
    spreads = [values * (counts.examples - values) for values in (counts.predicted, counts.actual)]
    return ratio(covariance, (spreads[0] * spreads[1]).sqrt()).mean()


def kappa(counts: Counts) -> Tensor:
    """Cohen's kappa; NaN where predictions and targets are all one label."""
    total = counts.actual.sum()
    agreed, expected = counts.hits.sum() / total, (counts.predicted * counts.actual).sum() / total.square()
    return (agreed - expected) / (1 - expected)
