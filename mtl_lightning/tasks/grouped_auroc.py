"""The area under the ROC curve inside each group of examples."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

NO_GROUP = -1
"""Number of the group of an example that is in none."""


class GroupedAUROC(Metric):
    """The mean over groups, such as users, of the area under the ROC curve of a group's examples: GAUC.

    A group counts by the number of its examples; one whose examples are all positive, or all negative, has no area and
    is left out, and so are examples in no group. Where no group is left, the result is NaN. All probabilities are kept
    until the evaluation ends: the result does not depend on batches and processes. (torchmetrics' ``RetrievalAUROC``
    takes all groups to be of one size, and counts those without an area as 0 or 1.)

    Reference: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction" (KDD 2018), equation 5.

    >>> metric = GroupedAUROC()
    >>> scores, truth = torch.tensor([0.1, 0.9, 0.3, 0.2]), torch.tensor([0, 1, 0, 1])
    >>> metric.update(scores, truth, groups=torch.tensor([7, 7, 7, 8]))
    >>> metric.compute()
    tensor(1.)
    """

    full_state_update = False
    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    scores: list[Tensor]
    truth: list[Tensor]
    groups: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("scores", "truth", "groups"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, scores: Tensor, truth: Tensor, groups: Tensor) -> None:
        """Keeps a batch.

        Args:
            scores: Probabilities [B].
            truth: 1 where the label applies, else 0 [B].
            groups: Number of each example's group [B], or ``NO_GROUP``.
        """
        known = groups != NO_GROUP
        self.scores.append(scores[known].float())
        self.truth.append(truth[known].float())
        self.groups.append(groups[known])

    def compute(self) -> Tensor:
        """The mean, a scalar."""
        if not self.groups:
            return torch.full((), torch.nan, device=self.device)
        scores, truth, groups = (dim_zero_cat(each).cpu() for each in (self.scores, self.truth, self.groups))
        return _mean_area(scores, truth, groups).to(self.device)


def _mean_area(scores: Tensor, truth: Tensor, groups: Tensor) -> Tensor:
    """By the sum of the ranks of a group's positive examples (Mann and Whitney); equal scores share their ranks."""
    group = torch.unique(groups, return_inverse=True)[1]
    order = scores.argsort(stable=True)
    order = order[group[order].argsort(stable=True)]
    scores, positive, group = scores[order], truth[order].double(), group[order]
    size = group.bincount()
    rank = _places(scores, group) - (size.cumsum(0) - size)[group]
    positives = group.bincount(positive)
    pairs = positives * (size - positives)
    area = (group.bincount(rank * positive) - positives * (positives + 1) / 2) / pairs
    weights = torch.where(pairs > 0, size, 0)
    mean: Tensor = (area.nan_to_num() * weights).sum() / weights.sum()
    return mean.float()


def _places(scores: Tensor, group: Tensor) -> Tensor:
    """Places from 1 on of sorted examples; those with equal scores in a group have the mean of theirs."""
    is_next = (scores.diff() != 0) | (group.diff() != 0)
    tie = torch.cat([is_next.new_zeros(min(len(scores), 1)), is_next]).long().cumsum(0)
    number = tie.bincount()
    means: Tensor = number.cumsum(0) - (number - 1) / 2
    return means[tie].double()
