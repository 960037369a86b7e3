"""What a task's head is to transformers: which level it reads, which problem it solves, with which labels."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.tasks import (
    MultiLabelClassification,
    Regression,
    SequenceClassification,
    Task,
    TokenClassification,
    TokenMultiLabelClassification,
)

_PROBLEMS: dict[type[Task], str] = {
    SequenceClassification: "single_label_classification",
    MultiLabelClassification: "multi_label_classification",
    TokenClassification: "single_label_classification",
    TokenMultiLabelClassification: "multi_label_classification",
    Regression: "regression",
}
"""What transformers calls the problem of a task whose head is a linear map."""


class Head(NamedTuple):
    """A linear head.

    Attributes:
        level: ``pooled`` or ``tokens``.
        problem: What transformers calls it.
        labels: Names of the C outputs; of a number, the task's name.
        weight: [C, D].
        bias: [C].
        threshold: Probability above which one of several labels applies; null: there are not several.
    """

    level: str
    problem: str
    labels: list[str]
    weight: Tensor
    bias: Tensor
    threshold: float | None = None

    @property
    def pipeline(self) -> str | None:
        """The pipeline of transformers that computes the same; null: none does."""
        if self.level == "pooled":
            return "text-classification"
        return "token-classification" if self.problem == "single_label_classification" else None

    def settings(self) -> dict[str, Any]:
        """What the configuration of a model says of it."""
        found = {"level": self.level, "problem_type": self.problem, "labels": self.labels}
        return found if self.threshold is None else {**found, "threshold": self.threshold}


def head_of(name: str, task: Task) -> Head:
    """The head of a task as transformers has it; that of a number gives it in its own unit.

    Args:
        name: Of the task.
        task: It is built.

    Raises:
        UserError: If it is no linear map of what an encoder makes of a text or of its sub-words.
    """
    kind, linear = type(task), task.head
    if kind not in _PROBLEMS or type(linear) is not nn.Linear:
        why = "a CRF" if kind is TokenClassification else "its head is no linear map of the encoder's features"
        if kind not in _PROBLEMS and type(linear) is nn.Linear:
            why = "it does more than to map the encoder's features linearly"
        raise UserError(
            f"task '{name}', {kind.__name__}: {why}, which no model of transformers computes; leave it out by "
            "`--tasks`, or choose another format"
        )
    weight, bias = linear.weight.detach(), linear.bias.detach()
    if isinstance(task, Regression):
        assert task.mean is not None and task.std is not None, "it is built"
        scaled, shifted = weight.double() * task.std, bias.double() * task.std + task.mean
        return Head(task.level, _PROBLEMS[kind], [name], scaled.to(weight), shifted.to(bias))
    threshold = getattr(task, "threshold", None)
    known: Any = task
    return Head(task.level, _PROBLEMS[kind], list(map(str, known.labels)), weight.clone(), bias.clone(), threshold)


@torch.no_grad()
def write_into(linear: Any, head: Head) -> None:
    """Makes a layer compute what a head does."""
    linear.weight.copy_(head.weight)
    linear.bias.copy_(head.bias)
