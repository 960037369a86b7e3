"""A mean of outputs."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mtl_lightning.chains.fusion import Fusion, unit_of
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.tasks import Regression, SequenceClassification, Task, TokenClassification
from mtl_lightning.tasks.base import full_precision


class Mean(Fusion):
    r"""The weighted mean of several tasks' outputs: an ensemble of heads.

    Of classifications with the same labels: the mean of their probabilities, computed in log space. Of regressions: the
    mean of their values, each in its own unit.

    Args:
        of: The tasks, of the same class and labels as this one.
        weights: Of each task, positive, by name; they are divided by their sum. Null: all the same.
        trained: Whether its loss trains these tasks. Otherwise it is no task for the weighting.

    Raises:
        UserError: If a weight is missing, not positive, or of another task.
    """

    def __init__(self, of: Sequence[str], weights: dict[str, float] | None = None, trained: bool = False) -> None:
        super().__init__(of, trained)
        given = dict.fromkeys(self.after, 1.0) if weights is None else weights
        for name, weight in given.items():
            if name not in self.after:
                raise UserError(f"`weights`: '{name}' is not in `of`; {did_you_mean(name, self.after)}")
            if not 0 < weight < math.inf:
                raise UserError(f"`weights.{name}` must be positive, found {weight}")
        if missing := [name for name in self.after if name not in given]:
            raise UserError(f"`weights` misses {', '.join(missing)}; give every task of `of` a weight")
        self.weights = {name: given[name] / sum(given.values()) for name in self.after}

    def build(self, name: str, tasks: Mapping[str, Task]) -> None:
        own = tasks[name]
        if not isinstance(own, Regression | SequenceClassification | TokenClassification):
            raise UserError(f"takes the mean of classifications or regressions, but '{name}' is a {_kind(own)}")
        for other in (name, *self.after):
            if _kind(tasks[other]) != _kind(own):
                raise UserError(
                    f"needs tasks of one class, but '{name}' is a {_kind(own)}, '{other}' a {_kind(tasks[other])}"
                )
            if not getattr(tasks[other], "independent", True):
                raise UserError(f"needs probabilities of single words; '{other}' has `decoding: crf`, take it out")
            if getattr(tasks[other], "labels", None) != getattr(own, "labels", None):
                raise UserError(f"needs tasks with the same labels; those of '{other}' are not those of '{name}'")
        self._scales = _scales(own, {other: tasks[other] for other in self.after})

    def fuse(self, outputs: Mapping[str, Tensor]) -> Tensor:
        if self._scales is None:
            logs = [full_precision(outputs[t]).log_softmax(-1) + math.log(w) for t, w in self.weights.items()]
            return torch.logsumexp(torch.stack(logs), 0)
        values = [(full_precision(outputs[t]) * scale + shift) * self.weights[t] for t, scale, shift in self._scales]
        return torch.stack(values).sum(0)


def _kind(task: Task) -> str:
    return type(task).__name__


def _scales(own: Task, others: Mapping[str, Task]) -> list[tuple[str, float, float]] | None:
    """Name, factor and summand that turn a standardised value of each task into this one's; null: no regressions."""
    if not isinstance(own, Regression):
        return None
    mean, std = unit_of(own)
    units = {name: unit_of(task) for name, task in others.items() if isinstance(task, Regression)}
    return [(name, its_std / std, (its_mean - mean) / std) for name, (its_mean, its_std) in units.items()]
