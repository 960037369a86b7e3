"""The gradients of the heads, each a task's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.backward.gradients import Gradients, add, flatten, split, vector
from mtl_lightning.backward.processes import mean_over_processes
from mtl_lightning.backward.step import Setup, Tasks


class Heads:
    """Adds up the heads' gradients over the batches of a step."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._gradients: dict[str, Gradients] = {}

    def add(self, task: str, gradients: Gradients) -> None:
        """Takes the gradients of a task's head, one for each parameter."""
        known = self._gradients
        known[task] = add(known[task], gradients) if task in known else gradients

    def length(self, tasks: Tasks, like: Tensor) -> Tensor:
        """The sum of lengths of all gradients on this process, a scalar of the type of ``like``."""
        gradients = [g for task in tasks for g in self._gradients.get(task, [None] * len(self._setup.own[task]))]
        found = self._setup.lengths(tasks, of_heads=True).find(gradients)
        return torch.stack(found).sum().to(like) if found else like.new_zeros(())

    def norms(self, tasks: Tasks, like: Tensor) -> Tensor:
        """The size of each head's gradient [T], on this process: the sum of its parts' lengths."""
        found = [(i, g) for i, task in enumerate(tasks) for g in self._gradients.get(task, ()) if g is not None]
        total = like.new_zeros(len(tasks))
        if found:
            places = vector([i for i, _ in found], total.new_empty(0, dtype=torch.int64))
            total.index_add_(0, places, torch.stack(torch._foreach_norm([g for _, g in found])).to(like))
        return total

    def mean(self, task: str) -> list[Tensor]:
        """The mean over processes of the gradients of a task's head, one for each parameter."""
        own = self._setup.own[task]
        found = self._gradients.get(task, [None] * len(own))
        return split(mean_over_processes(flatten(found, own)), own) if own else []

    def write(self, tasks: Tasks, weights: Mapping[str, Any], factor: Tensor) -> None:
        """Writes the mean over processes, times the tasks' weights where heads are to be weighted.

        Args:
            tasks: The tasks present.
            weights: Of each task; looked at only where needed.
            factor: For all.
        """
        own = self._setup.own
        gradients = [g for task in tasks for g in self._weighted(task, weights)]
        self._setup.writer.write_mean(("heads", *tasks), [p for task in tasks for p in own[task]], gradients, factor)

    def _weighted(self, task: str, weights: Mapping[str, Any]) -> Sequence[Tensor | None]:
        gradients = self._gradients.get(task, [None] * len(self._setup.own[task]))
        if not self._setup.weighted_heads:
            return gradients
        return [None if gradient is None else gradient * weights[task] for gradient in gradients]
