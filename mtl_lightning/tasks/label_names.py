"""Label names in a task's settings."""

from collections.abc import Sequence

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.raw_labels import Names


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
