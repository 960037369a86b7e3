"""How far scores of episodes lie apart, and so how well their mean is known."""

from typing import Any

import torch
from scipy import stats
from torch import Tensor
from torchmetrics import Metric

from mtl_lightning.intervals import ALPHA
from mtl_lightning.tasks import Task

_KINDS = ("loss", "accuracy")


def scores_of_episode(task: Task, logits: Any, targets: Tensor, loss: Tensor) -> tuple[Tensor, Tensor | None]:
    """A query set's loss, and the share of its examples on which the task is right; null: it has no notion of that."""
    right = task.correct(logits, targets)
    return loss, None if right is None else right.nanmean()


class Spreads(Metric):
    """Sums of scores of episodes and of their squares.

    Args:
        size: Number N of parts, such as tasks, whose episodes are kept apart.
    """

    full_state_update = False
    sums: Tensor

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("sums", torch.zeros(size, len(_KINDS), 3, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, index: int, loss: Tensor, accuracy: Tensor | None) -> None:
        """Adds an episode to the part with this index."""
        for kind, value in enumerate((loss, accuracy)):
            if value is not None:
                x = value.double()
                self.sums[index, kind] += torch.stack([torch.ones_like(x), x, x.square()])

    def compute(self) -> Tensor:
        """Number of episodes, sum and sum of squares [N, 2, 3]."""
        return self.sums


def intervals_of(sums: Tensor) -> list[dict[str, float]]:
    """Half the width of the 95 % interval of each part's mean over episodes, ``t(0.975, n - 1) s / √n``.

    Args:
        sums: What :class:`Spreads` computes [N, 2, 3].

    Returns:
        For each part ``loss_interval`` and ``accuracy_interval``, as far as it has two episodes with such scores.
    """
    found: list[dict[str, float]] = []
    for part in sums.tolist():
        widths = {}
        for kind, (number, total, squares) in zip(_KINDS, part, strict=True):
            if number > 1:
                variance = max(squares - total**2 / number, 0.0) / (number - 1)
                quantile = float(stats.t.ppf(1 - ALPHA / 2, number - 1))
                widths[f"{kind}_interval"] = quantile * (variance / number) ** 0.5
        found.append(widths)
    return found
