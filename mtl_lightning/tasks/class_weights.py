"""Weights of labels in the loss: given by name, or balanced by how often labels occur in the training data."""

import math
from collections.abc import Mapping, Sequence

from mtl_lightning.errors import UserError, shown
from mtl_lightning.tasks.label_names import positions

BALANCED = "balanced"

Weights = dict[str | int, float] | str | None
"""What a config says: a weight for each label, ``balanced``, or nothing."""


def checked(key: str, given: Weights | float) -> Weights | float:
    """What a config gives as weights, with numbers among the label names as text.

    Raises:
        UserError: If they are none, whatever the labels are.
    """
    if isinstance(given, str):
        if given != BALANCED:
            raise UserError(f"`{key}` must be `{BALANCED}` or a weight for each label, found {shown(given)}")
        return given
    if not isinstance(given, Mapping):
        return given if given is None else _checked(f"`{key}`", given)
    if not any(given.values()):
        raise UserError(f"`{key}` gives no label a weight above 0")
    return {str(name): _checked(f"`{key}` of label '{name}'", weight) for name, weight in given.items()}


def in_order(key: str, given: Mapping[str | int, float], labels: Sequence[str]) -> list[float]:
    """The weights in the order of the labels.

    Raises:
        UserError: If a label is missing or unknown.
    """
    weights = {labels[i]: given[name] for name, i in zip(given, positions(key, list(given), labels), strict=True)}
    if missing := [label for label in labels if label not in weights]:
        raise UserError(
            f"`{key}` misses {_few(missing)}; give each of the {len(labels)} labels a weight, or set it to `{BALANCED}`"
        )
    return [weights[label] for label in labels]


def balanced(counts: Mapping[str, int]) -> dict[str | int, float]:
    """Weights n / (K · count), as scikit-learn's ``class_weight="balanced"``; 1 for a label that never occurs.

    n is the number of all labels and K that of the different ones that occur, so that the mean weight of the labels in
    the training data is 1.

    >>> balanced({"a": 3, "b": 1, "c": 0})
    {'a': 0.6666666666666666, 'b': 2.0, 'c': 1.0}
    """
    seen = sum(count > 0 for count in counts.values())
    total = sum(counts.values())
    return {label: total / (seen * count) if count else 1.0 for label, count in counts.items()}


def balanced_positive(counts: Mapping[str, int], known: Mapping[str, int]) -> dict[str | int, float]:
    """Weights negatives / positives of each label; 1 for a label that never occurs, or always.

    >>> balanced_positive({"a": 1, "b": 4, "c": 0}, {"a": 4, "b": 4, "c": 4})
    {'a': 3.0, 'b': 1.0, 'c': 1.0}
    """
    return {label: (known[label] - n) / n if 0 < n < known[label] else 1.0 for label, n in counts.items()}


def unseen(key: str, counts: Mapping[str, int]) -> list[str]:
    """What to say of labels that never occur in the training data: a line, or none."""
    never = [label for label, count in counts.items() if not count]
    if not never:
        return []
    return [f"`{key}: {BALANCED}`: the training split has no example of the label {_few(never)}; its weight is 1"]


def _checked(what: str, weight: float) -> float:
    if not (weight >= 0 and math.isfinite(weight)):
        raise UserError(f"{what} must be a finite number of at least 0, found {weight}")
    return weight


def _few(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def positive_weights(weights: Weights | float, labels: Sequence[str]) -> list[float] | None:
    """The weights of the examples to which each label applies, in the order of the labels; null: there are none.

    Args:
        weights: By label, or one for all.
        labels: Of the task.
    """
    if isinstance(weights, Mapping):
        return in_order("pos_weight", weights, labels)
    return [weights] * len(labels) if isinstance(weights, int | float) else None
