"""Mean losses of an epoch, for weightings that look at them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.backward.step import Setup, Tasks
from mtl_lightning.weighting import Weighting


class EpochMeans:
    """Adds up losses on their device and tells the weighting their means when the next epoch starts.

    Not when the epoch ends: a checkpoint that is written in between then holds the sums, so that a resumed run goes on
    as if it had not been stopped.

    Args:
        setup: What is trained.
    """

    def __init__(self, setup: Setup) -> None:
        self.epoch: int | None = None
        self._setup = setup
        self._sums: Tensor | None = None
        self._counts: Counter[str] = Counter()

    def add(self, tasks: Tasks, losses: Tensor) -> None:
        """Takes the losses of a step [T]."""
        if self._sums is None:
            self._sums = losses.new_zeros(len(self._setup.weighting.tasks))
        elif self._sums.dtype != losses.dtype or self._sums.device != losses.device:
            self._sums = self._sums.to(losses)
        self._sums = self._sums.index_add(0, self._setup.index(tasks, losses.device), losses)
        self._counts.update(tasks)

    def start(self, epoch: int, weighting: Weighting) -> None:
        """Starts an epoch; if it is another one than before, the weighting is told of that one."""
        if self.epoch not in (None, epoch) and self._sums is not None:
            present = tuple(task for task in weighting.tasks if task in self._counts)
            tasks = self._setup.index(present, self._sums.device)
            counts = torch.tensor([self._counts[task] for task in present]).to(self._sums, non_blocking=True)
            weighting.on_epoch_end(self._sums[tasks] / counts, tasks)
            self._sums, self._counts = None, Counter()
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: the sums by task."""
        tasks = self._setup.weighting.tasks
        sums = {} if self._sums is None else dict(zip(tasks, self._sums.clone().unbind(), strict=True))
        counts = dict(self._counts)
        return {"epoch": self.epoch, "sums": {task: sums[task] for task in counts}, "counts": counts}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """From a checkpoint."""
        self.epoch, self._counts = state["epoch"], Counter(state["counts"])
        sums: Mapping[str, Tensor] = state["sums"]
        self._sums = None
        if sums:
            missing = torch.zeros_like(next(iter(sums.values())))
            in_order = [sums.get(task, missing) for task in self._setup.weighting.tasks]
            self._sums = torch.stack(in_order).to(device)
