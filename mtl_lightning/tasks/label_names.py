"""Label names in a task's settings."""

from collections.abc import Sequence

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.raw_labels import Names

_TRUTHS = ("True", "False")


def position(key: str, name: str | int, labels: Sequence[str]) -> int:
    """Where a label that a setting names is among the task's labels.

    Args:
        key: The setting, for messages.
        name: What it names.
        labels: Of the task.

    Raises:
        UserError: If it is none of them.
    """
    text = str(name)
    if (found := Names(labels).find(text)) is not None:
        return found
    quoted = " (YAML reads yes, no, on and off as truth values: quote them)" if text in _TRUTHS else ""
    raise UserError(f"`{key}` names the unknown label '{text[:60]}'{quoted}; {did_you_mean(text, labels)}")
