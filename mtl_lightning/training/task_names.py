"""What a task may be called."""

import re
from collections.abc import Iterable

from torch import nn

from mtl_lightning.errors import UserError

_RESERVED = ("average", "by_dataset", "by_preference", "joint", "loss")


def check_task_names(tasks: Iterable[str]) -> None:
    """Refuses names that a log, a metric or a module of torch would take for something else.

    Raises:
        UserError: If there is none, or one that cannot be; it says which name would do.
    """
    if not (names := list(tasks)):
        raise UserError("model.tasks is empty; name at least one task")
    for name in names:
        if not _is_task_name(name):
            word = re.sub(r"\W", "_", name)
            better = next(n for n in (word, f"{word}_task", f"task_{word}") if _is_task_name(n))
            raise UserError(f"model.tasks.{name}: '{name}' cannot be a task's name; try '{better}'")


def _is_task_name(name: str) -> bool:
    return name.isidentifier() and name not in _RESERVED and not hasattr(nn.ModuleDict(), name)
