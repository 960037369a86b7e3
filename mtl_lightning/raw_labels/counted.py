"""Raw labels and how often they occur."""

from typing import Any, NamedTuple


class Counted(NamedTuple):
    """A raw label, and how many times it occurs; what a task with :attr:`.tasks.Task.counted` is given."""

    value: Any
    times: int
