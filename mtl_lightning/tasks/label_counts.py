"""What classification metrics are computed from: counts a label, which need no table of labels by labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from mtl_lightning.tasks.base import IGNORE


@dataclass
class Counts:
    """Counts of each label, float64 [C].

    Attributes:
        hits: Examples that have the label and are predicted to.
        predicted: Examples that are predicted to have it.
        actual: Examples that have it, its support.
        examples: Examples of which it is known whether they have it.
    """

    hits: Tensor
    predicted: Tensor
    actual: Tensor
    examples: Tensor


Score = Callable[[Counts], Tensor]
"""A metric as a function of the counts, a scalar."""


class LabelCounts(Metric):
    """Counts a label over all batches and processes, where each example has one label.

    torchmetrics counts by a table [C, C] in each batch, which takes seconds for 10,000 labels; everything that this
    project reports follows from four counts a label.

    Args:
        num_labels: C.
        score: What to compute from the counts; null: the counts themselves, [4, C] in the order of :class:`Counts`.

    >>> counts = LabelCounts(3)
    >>> counts.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    >>> counts.compute().tolist()
    [[1, 1, 0], [1, 2, 0], [1, 1, 1], [3, 3, 3]]
    """

    full_state_update = False
    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    hits: Tensor
    predicted: Tensor
    actual: Tensor
    examples: Tensor

    def __init__(self, num_labels: int, score: Score | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.score = score
        for name in ("hits", "predicted", "actual", "examples"):
            self.add_state(name, torch.zeros(num_labels, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Counts a batch.

        Args:
            predictions: Indices [...].
            targets: Indices [...], ``IGNORE`` where missing; predictions there are not read.
        """
        present = torch.ne(targets, IGNORE)
        self.hits += self._count(targets, present & (predictions == targets))
        self.predicted += self._count(predictions, present)
        self.actual += self._count(targets, present)
        self.examples += present.sum()

    def compute(self) -> Tensor:
        """The counts, or the score."""
        counts = torch.stack([self.hits, self.predicted, self.actual, self.examples])
        return counts if self.score is None else self.score(Counts(*counts.double())).float()

    def _count(self, labels: Tensor, chosen: Tensor) -> Tensor:
        slots = torch.where(chosen, labels, self.num_labels).flatten()
        return torch.bincount(slots, minlength=self.num_labels + 1)[:-1]


class MultiLabelCounts(LabelCounts):
    """Counts a label over all batches and processes, where each example has any number of labels."""

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Counts a batch.

        Args:
            predictions: True where the label is predicted [B, C].
            targets: 1 where it applies, 0 where not, NaN where that is not known [B, C].
        """
        present, actual = ~targets.isnan(), torch.eq(targets, 1)
        self.hits += (predictions & actual).sum(0)
        self.predicted += (predictions & present).sum(0)
        self.actual += actual.sum(0)
        self.examples += present.sum(0)


class QuadraticKappa(LabelCounts):
    """Cohen's kappa of ordered labels, weighted by the squared distance of their ranks.

    1 - Σ (distance of prediction and target)² / its expectation if both were independent. NaN where all predictions and
    targets are one label.

    Args:
        ranks: Rank of each label [C].

    Reference: J. Cohen, Weighted kappa, Psychological Bulletin 1968.
    """

    ranks: Tensor
    squares: Tensor

    def __init__(self, ranks: Sequence[int], **kwargs: Any) -> None:
        super().__init__(len(ranks), **kwargs)
        self.register_buffer("ranks", torch.tensor(ranks), persistent=False)
        self.add_state("squares", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Counts a batch; see :meth:`LabelCounts.update`."""
        super().update(predictions, targets)
        present = torch.ne(targets, IGNORE)
        distances = self.ranks[predictions] - self.ranks[torch.where(present, targets, 0)]
        self.squares += (distances.square() * present).sum()

    def compute(self) -> Tensor:
        """Kappa, a scalar."""
        ranks, predicted, actual = self.ranks.double(), self.predicted.double(), self.actual.double()
        mixed = (predicted * ranks).sum() * (actual * ranks).sum()
        expected = ((predicted + actual) * ranks.square()).sum() - 2 * mixed / actual.sum()
        return (1 - self.squares / expected).float() if expected > 0 else torch.full_like(expected, torch.nan).float()
