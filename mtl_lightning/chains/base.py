"""What a link between tasks is."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from mtl_lightning.tasks import Features, Task


class Link(nn.Module):
    """Lets a task read the logits of tasks before it: its head (``read``), its output (``join``), or a loss term.

    Whatever it returns as logits is what the task's loss, metrics and decoding see, so that they need not know of it.

    Args:
        after: The earlier tasks, one or a list; where several, in the order in which they are given to the methods.
        detach: Whether the task's loss stops at the earlier tasks' logits, so that it does not train them.

    Attributes:
        after: Names of the earlier tasks.
        has_head: Whether the task has a head of its own.
        trained: Whether the task's loss trains the model.
        width: By how much ``read`` widens the features; known after ``build``.
        is_given: Whether what ``finds`` names is read as it is given, as in training.
    """

    has_head: ClassVar[bool] = True

    def __init__(self, after: str | Sequence[str], detach: bool = False) -> None:
        super().__init__()
        self.after = (after,) if isinstance(after, str) else tuple(after)
        self.detach = detach
        self.trained = True
        self.width = 0
        self.is_given = False

    @property
    def finds(self) -> Mapping[str, str]:
        """Inputs that are made of an earlier task's predictions, with the name of that task; none by default."""
        return {}

    def build(self, name: str, tasks: Mapping[str, Task]) -> None:
        """Takes note of what it must know of the tasks, whose labels are known now; the earlier ones are built.

        Args:
            name: Of the task that it belongs to.
            tasks: All tasks, by name.

        Raises:
            UserError: If it cannot link such tasks.
        """

    def forward(self, task: Task, features: Any, earlier: Mapping[str, Tensor]) -> Tensor:
        """The task's logits [B, ...] or [B, L, ...].

        Args:
            task: Whose head reads the features.
            features: What the sharing made for the task; null if it has no head.
            earlier: Logits of the earlier tasks.
        """
        return self.join(task(self.read(features, earlier)), earlier)

    def can_read(self, task: Task, features: Features) -> bool:
        """Whether these features hold what the task's head reads; it says so itself by default.

        Args:
            task: Whose head reads them.
            features: What the sharing made for the task.
        """
        return task.can_read(features)

    def read(self, features: Features, earlier: Mapping[str, Tensor]) -> Features:
        """What the task's head reads; the features as they are by default.

        Args:
            features: What the sharing made for the task.
            earlier: Logits of the earlier tasks.
        """
        return features

    def join(self, logits: Tensor, earlier: Mapping[str, Tensor]) -> Tensor:
        """The task's logits; those of its own head by default.

        Args:
            logits: Of its own head.
            earlier: As for ``read``.
        """
        return logits

    def doubt(self, targets: Mapping[str, Tensor]) -> str | None:
        """What is doubtful about the labels of the first batch that has the task's and the earlier ones', in a line.

        Args:
            targets: Encoded labels by task, each [B, ...].
        """
        return None

    def terms(self, logits: Tensor, earlier: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms, each with its coefficient, by name; none by default. The names are always the same.

        A link that has some has them in every batch, so that the task is computed whether it is labelled or not.

        Args:
            logits: The task's logits.
            earlier: As for ``read``.
        """
        return {}
