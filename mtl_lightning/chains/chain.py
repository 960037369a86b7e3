"""Runs the heads in an order in which each task comes after those that it reads."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from torch import Tensor, nn

from mtl_lightning.chains.base import Link
from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.tasks import Task


class Chain(nn.Module):
    """The links between tasks.

    Args:
        links: By the task that reads others; a task that reads none has no link.
        tasks: Names of all tasks.

    Attributes:
        order: The tasks, each after those that it reads.
        with_terms: The tasks whose links add loss terms.
        trained: The tasks whose loss trains the model, in the order of ``tasks``.
        readers: The tasks with a head of their own, in the order of ``tasks``.

    Raises:
        UserError: If a link is of an unknown task or reads one, or if tasks read each other in a circle.
    """

    def __init__(self, links: Mapping[str, Link], tasks: Sequence[str]) -> None:
        super().__init__()
        self.links = nn.ModuleDict(links)
        self._unseen = list(links)
        self._unlinked = (Link(()),)  # in a tuple: it is no part of the model
        for name, link in links.items():
            _check(name, link.after, tasks)
        self._after = {task: links[task].after if task in links else () for task in tasks}
        self.order = _ordered(self._after)
        self.trained = [task for task in tasks if self.link(task).trained]
        self.with_terms = [task for task in links if type(self.link(task)).terms is not Link.terms]
        self.readers = [task for task in tasks if self.link(task).has_head]

    def link(self, task: str) -> Link:
        """How a task reads others; one that does nothing where it reads none."""
        return self.links[task] if task in self.links else self._unlinked[0]  # type: ignore[return-value]

    def build(self, name: str, tasks: Mapping[str, Task]) -> int:
        """Builds a task's link once its labels are known, after those of the tasks that it reads.

        Returns:
            By how much it widens what the task's head reads.

        Raises:
            UserError: If it cannot link such tasks.
        """
        try:
            self.link(name).build(name, tasks)
        except UserError as error:
            raise UserError(f"model.chain.{name}: {error}") from error
        return self.link(name).width

    # -- what needs what ---------------------------------------------------------------------------------------------
    def needed(self, tasks: Iterable[str]) -> list[str]:
        """Some tasks and all that they read, directly or not, in order."""
        return self._closure(tasks, through=self._after)

    def read_by(self, tasks: Iterable[str]) -> list[str]:
        """The tasks whose heads run for some tasks, in order."""
        return [task for task in self.needed(tasks) if self.link(task).has_head]

    def trained_by(self, task: str) -> list[str]:
        """The task, and the earlier ones whose heads its loss reaches, in order."""
        passing = {name: () if self.link(name).detach else after for name, after in self._after.items()}
        return self._closure([task], through=passing)

    def _closure(self, tasks: Iterable[str], through: Mapping[str, Collection[str]]) -> list[str]:
        found, waiting = set(), list(tasks)
        while waiting:
            found.add(task := waiting.pop())
            waiting += [other for other in through[task] if other not in found]
        return [task for task in self.order if task in found]

    # -- what it computes --------------------------------------------------------------------------------------------
    def forward(
        self, heads: Mapping[str, Task], representations: Mapping[str, Any], tasks: Iterable[str]
    ) -> dict[str, Tensor]:
        """Logits of some tasks and of all that they read, by name.

        Args:
            heads: The tasks, by name.
            representations: What the heads of ``read_by(tasks)`` read, by task.
            tasks: Names of the tasks wanted.
        """
        logits: dict[str, Tensor] = {}
        for task in self.needed(tasks):
            logits[task] = self.link(task)(heads[task], representations.get(task), self._earlier(task, logits))
        return logits

    def terms(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms of all links, by name.

        Args:
            logits: What ``forward`` returned.
        """
        found: dict[str, Tensor] = {}
        for task in self.with_terms:
            found |= self.link(task).terms(logits[task], self._earlier(task, logits))
        return found

    def doubts(self, targets: Mapping[str, Tensor]) -> list[str]:
        """What is doubtful about the labels of a batch, as far as each link has not seen any yet; a line each.

        Args:
            targets: Encoded labels by task, each [B, ...].
        """
        seen = [task for task in self._unseen if targets.keys() >= {task, *self._after[task]}]
        self._unseen = [task for task in self._unseen if task not in seen]
        found = {task: self.link(task).doubt(targets) for task in seen}
        return [f"model.chain.{task}: {line}" for task, line in found.items() if line is not None]

    def _earlier(self, task: str, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        detach = self.link(task).detach
        return {other: logits[other].detach() if detach else logits[other] for other in self._after[task]}


def _check(name: str, after: Sequence[str], tasks: Sequence[str]) -> None:
    if name not in tasks:
        raise UserError(f"model.chain: unknown task '{name}'; {did_you_mean(name, tasks)}")
    for other in after:
        if other not in tasks:
            raise UserError(f"model.chain.{name}: unknown task '{other}'; {did_you_mean(other, tasks)}")
    if not after or len(set(after)) < len(after):
        raise UserError(f"model.chain.{name}: expected names of other tasks, each once, found {shown(list(after))}")


def _ordered(after: Mapping[str, Sequence[str]]) -> list[str]:
    try:
        return list(TopologicalSorter(after).static_order())
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        raise UserError(
            f"model.chain.{circle[0]}: tasks read each other in a circle, {' after '.join(circle)}; leave one link out"
        ) from error
