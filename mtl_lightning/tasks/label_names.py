"""Label names in the data and in a task's settings."""

from collections.abc import Sequence
from numbers import Number
from typing import Any

from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.raw_labels import Names, no_label


def positions(key: str, names: Sequence[str | int], labels: Sequence[str]) -> list[int]:
    """Where the labels that a setting names are among the task's labels; spellings are joined as those of the data.

    Args:
        key: The setting, for messages.
        names: What it names.
        labels: Of the task.

    Raises:
        UserError: If it names a label that is none of them, a label twice, or none at all.

    >>> positions("average_over", ["b", 1.0], ["1", "a", "b"])
    [2, 0]
    """
    known = Names(labels)
    found: dict[int, str] = {}
    for name in map(str, names):
        if (place := known.find(name)) is None:
            raise UserError(f"`{key}` names the unknown label '{name[:60]}'; {did_you_mean(name, labels)}")
        if place in found:
            raise UserError(f"`{key}` names the label '{labels[place][:60]}' twice")
        found[place] = name
    if not found:
        raise UserError(f"`{key}` names no label; take it out, or name at least one")
    return list(found)


def name_of(value: Any) -> str:
    """The name that a raw value gives: a text, or a number or truth value as Python writes it.

    Raises:
        UserError: If it is something else.
    """
    if not isinstance(value, str | Number):
        raise UserError(f"expected the name of a label, found {shown(value)}")
    return str(value)


def index_of(name: Any, labels: Sequence[str], names: Names) -> int:
    """Position of a label name in the label set, whichever its spelling (see :class:`.raw_labels.Names`).

    Raises:
        UserError: If it is not there; it names the nearest one.
    """
    position = names.find(name_of(name))
    if position is not None:
        return position
    raise UserError(
        f"label {shown(str(name))} is not among the task's {len(labels)} labels, which come from `labels` or, "
        f"without it, from the training split; {did_you_mean(str(name), labels)}{no_label([str(name)])}"
    )
