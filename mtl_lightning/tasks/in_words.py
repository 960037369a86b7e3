"""Encoded labels as a person reads them."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

Worded = str | list[str | None] | None
"""A label in words: of an example, or one for each label position; null where it is missing."""


class InWords:
    """Lets a task say its encoded labels in words, for ``show-batch``.

    Attributes:
        missing: The encoded value of a missing label.
        says_numbers: Whether what it says names words by their numbers, from 1; these are then shown, too.
    """

    missing: ClassVar[float]
    level: Any
    says_numbers: ClassVar[bool] = False

    def in_words(self, target: Tensor) -> Worded:
        """One encoded label as a person reads it; by default, the numbers that it consists of.

        Args:
            target: Of one example, as the loss gets it [...], padded to the length of its batch.

        Returns:
            A text; of a task that labels tokens or words, one for each of the L positions, which stands beside it (an
            empty one: there is nothing to say of it but that it is trained on). Null where the label is missing.
        """
        if self.level == "tokens" and target.dim():
            return [in_numbers(label, self.missing) for label in target]
        return in_numbers(target, self.missing)

    def in_words_of(self, target: Tensor, given: Mapping[str, Tensor]) -> Worded:
        """The same, of a label that says where something stands in the input; by default, ``in_words``.

        Args:
            target: As of ``in_words``.
            given: What heads are given of the example, by name, such as the characters of its ``context`` [C].
        """
        return self.in_words(target)


def in_numbers(target: Tensor, missing: float) -> str | None:
    """The numbers of an encoded label, without the decimals that say nothing; null where all are missing.

    Args:
        target: [...].
        missing: What stands for a missing one.

    >>> import torch
    >>> in_numbers(torch.tensor([0.5, float("nan"), 2.0]), float("nan")), in_numbers(torch.tensor(-100), -100)
    ('0.5 ? 2', None)
    """
    values = target.flatten().tolist()
    known = [None if value != value or value == missing else value for value in values]
    if not any(value is not None for value in known):
        return None
    return " ".join("?" if value is None else f"{value:.6g}" for value in known)
