"""The order in which several processes run tests, so that none is idle at the end.

Each is given an equal part of the list, and who is done takes from the end of another's. So each part begins with files
of long tests, whole ones, as their fixtures are of the whole file, and ends with quick tests.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

LONG = ("distributed", "experiments", "integration", "slurm", "trust")
"""The folders of long tests."""


class _OfFile(Protocol):
    path: Path


Item = TypeVar("Item", bound=_OfFile)


def arranged(items: Sequence[Item], processes: int) -> list[Item]:
    """The same tests; those of a file stay in their order.

    Args:
        items: Tests, each with the ``path`` of its file.
        processes: How many run them.
    """
    files: dict[Path, list[Item]] = {}
    quick: list[Item] = []
    for item in items:
        (files.setdefault(item.path, []) if set(LONG) & set(item.path.parts) else quick).append(item)
    ordered: list[Item] = []
    for process in range(processes):
        part = [item for file in list(files.values())[process::processes] for item in file]
        end = len(items) * (process + 1) // processes - len(ordered) - len(part)
        ordered += part + quick[: max(0, end)]
        del quick[: max(0, end)]
    return ordered + quick
