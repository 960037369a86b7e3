"""The rows of the Jacobian: gradients of the tasks, one below the other in one buffer."""

from collections.abc import Collection, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.backward.compared import Compared
from mtl_lightning.backward.gradients import Gradients, flatten, split, vector
from mtl_lightning.backward.processes import Sums
from mtl_lightning.weighting.inner_products import exact_gramian, gramian_on_device, is_accurate

_LONG = 1 << 18
"""Values of rows that are written at once, and of a row that is sent at once."""


class Rows(Compared):
    """Per-task gradients of some parameters, flat, in one buffer [K, P].

    Tasks take the rows from the top, so that those of a step are contiguous. Short ones wait for each other, to be
    written together.

    Args:
        parameters: What the gradients are of; P values in all.
        num_tasks: K.
        keep: Whether the buffer outlives ``clear``: for those who need it in every step.

    Attributes:
        parameters: In the order of the rows' values.
        used: For each parameter, whether a task of this process has a gradient of it.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], num_tasks: int, keep: bool = True) -> None:
        super().__init__(num_tasks)
        self.parameters = parameters
        self.keep = keep
        self.used = [False] * len(parameters)
        self.num_parameters = sum(parameter.numel() for parameter in parameters)
        self._is_long = self.num_parameters >= _LONG  # on every process, whatever part of the rows each of them holds
        self._width = self.num_parameters
        self._waiting: dict[int, Gradients] = {}
        self._filled: set[str] = set()
        self._sent: set[str] = set()
        self._complete: list[str] = []
        self._buffer: Tensor | None = None
        self._made_for = _kind(parameters)
        self._sums = Sums()

    @property
    def num_bytes(self) -> int:
        return self.num_tasks * self._width * self._dtype.itemsize

    @property
    def values(self) -> Tensor:
        """The rows [T, P], without copying."""
        return self._memory()[: len(self.places)]

    def clear(self) -> None:
        super().clear()
        self._waiting, self._filled, self._sent, self._complete = {}, set(), set(), []
        self._buffer = self._buffer if self.keep else None
        self.used = [False] * len(self.parameters)

    def start_batch(self, tasks: Collection[str]) -> None:
        if not self.places and self._made_for != _kind(self.parameters):
            self._buffer = None  # the model has moved, or changed its type
        super().start_batch(tasks)

    def add(self, task: str, gradients: Gradients, sources: Sequence[Tensor]) -> None:
        assert task not in self._sent, f"the gradient of '{task}' is already on its way to other processes"
        if not all(self.used):
            self.used = [used or g is not None for used, g in zip(self.used, gradients, strict=True)]
        place = self.places[task]
        if task in self._filled:
            self._memory()[place, : self.num_parameters] += flatten(gradients, sources)
            return
        self._filled.add(task)
        if place - 1 not in self._waiting or len(self._waiting) * self.num_parameters >= _LONG:
            self._write()
        self._waiting[place] = gradients

    def end_batch(self) -> None:
        self._write()
        self._send_complete()

    def _write(self) -> None:
        """Writes the rows that wait, which are one below the other."""
        if self._waiting:
            number, length, first = len(self._waiting), self._width, next(iter(self._waiting))
            rows = self._memory().as_strided((number * length,), (1,), first * length)
            padding = self._padding
            no_gradients = [None] * len(padding)
            gradients = [gradient for row in self._waiting.values() for gradient in (*row, *no_gradients)]
            flatten(gradients, [*self._sources, *padding] * number, out=rows)
            self._waiting = {}

    def send(self, task: str) -> None:
        self._complete.append(task)
        if self._is_long:
            self._send_complete()

    def _send_complete(self) -> None:
        for task in self._complete:
            if task not in self._filled:
                self.add(task, [None] * len(self.parameters), self.parameters)
            self._send_row(self.places[task])
            self._sent.add(task)
        self._complete = []

    def _send_row(self, place: int) -> None:
        """Starts to add up a row over processes."""
        self._sums.start(self._written(place))

    def _written(self, place: int) -> Tensor:
        """A row of the buffer, when it is there."""
        if place in self._waiting:
            self._write()
        return self._memory()[place]

    def gather(self, device: torch.device) -> None:
        self._complete = [task for task in self.places if task not in self._sent]
        self._send_complete()
        self._write()
        self._sums.wait()

    def gramian(self) -> Tensor:
        return gramian_on_device(self.values)

    def is_accurate(self, products: Tensor) -> bool:
        return is_accurate(products, self.num_parameters, self.values.dtype)

    def exact_gramian(self) -> Tensor:
        return exact_gramian(self.values)

    def combine(self, weights: Sequence[Any], factor: Tensor) -> Tensor:
        """The weighted sum of the rows, times a factor; see ``pieces``.

        Args:
            weights: One for each row, from the top.
            factor: A scalar.
        """
        rows = self.values
        return (vector(weights, rows) * factor) @ rows

    def pieces(self, combined: Tensor) -> list[Tensor]:
        """Of a combination of the rows: what belongs to each parameter, as its ``.grad`` is to be."""
        return split(combined, self._sources)

    @property
    def _sources(self) -> Sequence[Tensor]:
        """What this process holds of each parameter."""
        return self.parameters

    @property
    def _padding(self) -> Sequence[Tensor]:
        """What rows end in, as zeros."""
        return ()

    def _memory(self) -> Tensor:
        if self._buffer is None:
            self._made_for = _kind(self.parameters)
            self._buffer = self._new_buffer(self._width)
        return self._buffer

    @property
    def _dtype(self) -> torch.dtype:
        return reduce(torch.promote_types, (p.dtype for p in self.parameters), torch.float32)

    def _new_buffer(self, width: int) -> Tensor:
        """Of so many numbers for each task."""
        device = self.parameters[0].device if self.parameters else None
        return torch.empty(self.num_tasks, width, dtype=self._dtype, device=device)


class WholeRows(Rows):
    """Rows that every process holds whole: the Jacobian."""

    def jacobian(self, order: Sequence[int] | None, units: Tensor | None = None) -> Tensor:
        """The rows [T, P] in another order, each times a unit.

        Args:
            order: The places of the wanted rows; null: as they are.
            units: Of each wanted row [T]; null: 1.
        """
        rows = self.values
        if order is not None:
            rows = rows[torch.tensor(order).to(rows.device, non_blocking=True)]
        return rows if units is None else rows * units.to(rows.dtype).unsqueeze(1)


def _kind(parameters: Sequence[nn.Parameter]) -> tuple[torch.device, torch.dtype] | None:
    return (parameters[0].device, parameters[0].dtype) if parameters else None
