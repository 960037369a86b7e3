"""Scalars by task."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor


class ByTask(Mapping[str, Tensor]):
    """A scalar for each task, cut out of their vector when one is first asked for.

    Args:
        tasks: Names of T tasks.
        scalars: Theirs [T].

    >>> found = ByTask(("a", "b"), torch.tensor([1.0, 2.0]))
    >>> found["b"], found.vector(["b", "a"])
    (tensor(2.), tensor([2., 1.]))
    """

    def __init__(self, tasks: tuple[str, ...], scalars: Tensor) -> None:
        self._tasks = tasks
        self._vector = scalars
        self._scalars: dict[str, Tensor] | None = None

    def vector(self, tasks: Iterable[str]) -> Tensor:
        """Those of some tasks, in their order."""
        wanted = tuple(tasks)
        return self._vector if wanted == self._tasks else torch.stack([self[task] for task in wanted])

    def __getitem__(self, task: str) -> Tensor:
        if self._scalars is None:
            self._scalars = dict(zip(self._tasks, self._vector.unbind(), strict=True))
        return self._scalars[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        return repr(dict(self))
