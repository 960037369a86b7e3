"""How many words have the right head, and the right relation to it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from mtl_lightning.tasks.base import IGNORE
from mtl_lightning.tasks.label_counts import LabelCounts


class AttachmentScore(Metric):
    """The fraction of words whose head is right and, if relations are compared, their relation too.

    Every word counts that has a label, punctuation too, as in the script of the CoNLL 2018 shared task.

    Args:
        groups: For each relation a number; relations of one number are taken for the same [C]. Null: relations are not
            compared.

    >>> score = AttachmentScore()
    >>> score.update(torch.tensor([[[2, 0], [0, 1]]]), torch.tensor([[[0, 1], [0, 1]]]))
    >>> score.compute()
    tensor(0.5000)
    """

    full_state_update = False
    higher_is_better = True
    groups: Tensor | None
    right: Tensor
    total: Tensor

    def __init__(self, groups: Sequence[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.register_buffer("groups", None if groups is None else torch.tensor(groups), persistent=False)
        self.add_state("right", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Counts a batch.

        Args:
            predictions: Head and relation of each word [B, L, 2].
            targets: The same, ``IGNORE`` where a word has no label.
        """
        present = targets[..., 0] != IGNORE
        right = present & (predictions[..., 0] == targets[..., 0])
        if self.groups is not None:
            right &= self.groups[predictions[..., 1]] == self.groups[targets[..., 1].clamp(min=0)]
        self.right += right.sum()
        self.total += present.sum()

    def compute(self) -> Tensor:
        """The score, a scalar in [0, 1]."""
        return (self.right.double() / self.total.clamp(min=1)).float()


class RelationCounts(LabelCounts):
    """Counts a relation; a word is a hit if its head and its relation are right.

    Args:
        num_labels: C.
    """

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Counts a batch; see :meth:`AttachmentScore.update`."""
        present = targets[..., 0] != IGNORE
        relations, wanted = predictions[..., 1], targets[..., 1]
        self.hits += self._count(wanted, present & (predictions == targets).all(-1))
        self.predicted += self._count(relations, present)
        self.actual += self._count(wanted, present)
        self.examples += present.sum()


def universal(relations: Sequence[str]) -> list[int]:
    """A number for each relation, the same for all subtypes of one: what stands before the colon counts.

    >>> universal(["nmod", "obl", "nmod:poss"])
    [0, 1, 0]
    """
    kinds = [relation.split(":")[0] for relation in relations]
    return [kinds.index(kind) for kind in kinds]
