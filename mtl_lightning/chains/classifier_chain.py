"""A head that reads earlier tasks' outputs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_lightning.chains.base import Link
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Features, MultiLabelClassification, Regression, Task
from mtl_lightning.tasks.base import full_precision
from mtl_lightning.tasks.labelled import LabelledTask


class Widened(NamedTuple):
    """Features that a head reads; see :class:`mtl_lightning.tasks.Features`."""

    pooled: Tensor | None
    tokens: Tensor | None
    mask: Tensor | None
    given: Mapping[str, Tensor] | None
    states: Tensor | None = None
    kept: Any = None
    maps: Mapping[int, Tensor] | None = None


class ClassifierChain(Link):
    r"""The task's head reads earlier tasks' outputs beside its features: :math:`[h; p_1; \ldots; p_n]`.

    Of a classification, it reads the probabilities of the labels; of a regression, the standardised value. A head of
    whole examples reads the mean over positions of an earlier task that labels positions; a head of positions reads an
    earlier task of whole examples at each of them.

    Cost: a column of the head's weights for each output that it reads. Difference from the paper: the head reads
    predicted probabilities, in training too, and its loss reaches the earlier tasks unless ``detach`` is set; the
    paper's reads true labels in training and decisions later. Reference: Read et al., "Classifier Chains for
    Multi-label Classification" (Machine Learning 85, 2011), section 3.

    Helps: where one task's answer says much about another's, such as the intent about the slots. Fails: where the
    features say as much; then it only adds the earlier tasks' errors.

    Args:
        after: The earlier tasks, one or a list.
        detach: Whether the task's loss stops at the earlier tasks' outputs, so that it does not train them.
    """

    def __init__(self, after: str | list[str], detach: bool = False) -> None:
        super().__init__(after, detach)

    def build(self, name: str, tasks: Mapping[str, Task]) -> None:
        if tasks[name].by_sequence:
            raise UserError(f"widens features of whole examples and of words, but '{name}' reads several texts apart")
        self._level = tasks[name].level
        self._kinds = {other: (_outputs_of(other, tasks[other]), tasks[other].level) for other in self.after}
        self.width = sum(tasks[other].num_outputs for other in self.after)

    def read(self, features: Features, earlier: Mapping[str, Tensor]) -> Features:
        hidden = features.pooled if self._level == "pooled" else features.tokens
        if hidden is None:
            return features  # the head says what is missing
        outputs = [self._fitted(task, logits, hidden, features.mask) for task, logits in earlier.items()]
        wide = torch.cat([hidden, *(each.to(hidden.dtype) for each in outputs)], -1)
        if self._level == "pooled":
            return Widened(wide, features.tokens, features.mask, features.given)
        return Widened(features.pooled, wide, features.mask, features.given)

    def _fitted(self, task: str, logits: Tensor, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """What an earlier task says [B, C], or at each position [B, L, C]."""
        kind, level = self._kinds[task]
        outputs = full_precision(logits)
        if kind != "numbers":
            outputs = outputs.softmax(-1) if kind == "one of" else outputs.sigmoid()
        if level == self._level:
            return outputs
        if level == "pooled":
            return outputs[:, None].expand(-1, hidden.shape[1], -1)
        real = torch.ones_like(outputs[..., :1]) if mask is None else mask[..., None].to(outputs.dtype)
        return (outputs * real).sum(1) / real.sum(1).clamp(min=1)


def _outputs_of(name: str, task: Task) -> str:
    """What a task's logits stand for.

    Raises:
        UserError: If nobody knows.
    """
    if isinstance(task, Regression):
        return "numbers"
    if not isinstance(task, LabelledTask) or not task.scores_labels:
        found = type(task).__name__
        raise UserError(f"reads classifications and regressions, but '{name}' is a {found}; derive it from one of them")
    return "any of" if isinstance(task, MultiLabelClassification) else "one of"
