"""Areas under curves over thresholds, exact over all batches and processes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc, binary_average_precision
from torchmetrics.utilities import dim_zero_cat

from mtl_lightning.tasks.label_scores import Average
from mtl_lightning.tasks.scoring import Catalogue, Scoring

AVERAGES: tuple[Average, ...] = ("macro", "micro", "weighted")
"""Of areas; ``macro`` is taken over the labels present, since others have none."""

Curve = Literal["auroc", "average_precision"]
CURVES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "auroc": binary_auroc,
    "average_precision": binary_average_precision,
}


class CurveScore(Metric):
    """Area under the ROC curve, or average precision, of each label against the rest, averaged over the labels.

    A label that no example has, or for ``auroc`` that all have, has no such curve and counts for no average; where no
    label has one, the result is NaN. All probabilities are kept until the evaluation ends: the area is exact.

    Args:
        num_labels: C.
        curve: Which.
        average: Over labels: ``macro``, ``weighted`` by how many examples have the label, or ``micro``: one curve of
            all pairs of an example and a label.
    """

    full_state_update = False
    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    scores: list[Tensor]
    truth: list[Tensor]

    def __init__(
        self,
        num_labels: int,
        curve: Curve = "auroc",
        average: Average = "macro",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_labels = 1 if average == "micro" else num_labels
        self.curve = curve
        self.average = average
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("truth", default=[], dist_reduce_fx="cat")

    def update(self, scores: Tensor, truth: Tensor) -> None:
        """Keeps a batch.

        Args:
            scores: Probabilities [B, C].
            truth: 1 where the label applies, 0 where not, NaN where that is not known [B, C].
        """
        # flat: a process without examples has nothing to say of the shape
        self.scores.append(scores.float().flatten())
        self.truth.append(truth.float().flatten())

    def compute(self) -> Tensor:
        """The average, a scalar."""
        scores, truth = (dim_zero_cat(kept).reshape(-1, self.num_labels) for kept in (self.scores, self.truth))
        areas = torch.stack([self._area(s, t) for s, t in zip(scores.unbind(1), truth.unbind(1), strict=True)])
        weights = torch.eq(truth, 1).sum(0) if self.average == "weighted" else torch.ones_like(areas)
        defined = ~areas.isnan()
        return (areas.nan_to_num() * weights).sum() / (weights * defined).sum()

    def _area(self, scores: Tensor, truth: Tensor) -> Tensor:
        present = ~truth.isnan()
        scores, positive = scores[present], truth[present].long()
        if not positive.any() or (self.curve == "auroc" and positive.all()):
            return scores.new_full((), torch.nan)
        return CURVES[self.curve](scores, positive)


def curve_metrics(scoring: Scoring, num_labels: int) -> Catalogue:
    """What makes each area: by its plain name, and by each average where it is taken of several labels."""
    curves: tuple[Curve, ...] = ("auroc", "average_precision")
    made: dict[str, Callable[[], Metric]] = {}
    for name in curves:
        made[name] = partial(CurveScore, num_labels, name, scoring.average or "macro")
        for average in AVERAGES if num_labels > 1 else ():
            made[f"{name}_{average}"] = partial(CurveScore, num_labels, name, average)
    return made
