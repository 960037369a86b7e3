"""The metrics of tasks in which each example, or word, has one label."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

from mtl_lightning.tasks.label_counts import LabelCounts, QuadraticKappa, Score
from mtl_lightning.tasks.label_scores import RATIOS, Average, accuracy, balanced_accuracy, kappa, matthews
from mtl_lightning.tasks.scoring import Catalogue, ratio_scores

_SCORES: Mapping[str, Score] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "kappa": kappa,
    "mcc": matthews,
}


def class_metrics(
    labels: Sequence[str], average: Average, over: Sequence[int] | None, positive: int | None = None
) -> Catalogue:
    """What makes each metric.

    Args:
        labels: Label names.
        average: Of metrics of single labels, where their name does not say.
        over: Positions of the labels that averages are taken over; null: all.
        positive: Position of the label that plain names are of; null: they are averages.
    """
    scores = {**_SCORES, **ratio_scores(list(RATIOS), average, over, positive=positive)}
    return {
        **{name: partial(LabelCounts, len(labels), score) for name, score in scores.items()},
        "quadratic_kappa": partial(QuadraticKappa, ranks(labels)),
    }


def ranks(labels: Sequence[str]) -> list[int]:
    """Rank of each label in the order that quadratic kappa takes: of numbers by value, else as they come.

    >>> ranks(["1", "10", "2"])
    [0, 2, 1]
    """
    try:
        values = [float(label) for label in labels]
    except ValueError:
        return list(range(len(labels)))
    if not all(map(math.isfinite, values)):
        return list(range(len(labels)))
    order = {value: rank for rank, value in enumerate(sorted(set(values)))}
    return [order[value] for value in values]
