"""Rows of which each process holds a part."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mtl_lightning.backward.gradients import Gradients, joined, split
from mtl_lightning.backward.processes import gathered, num_processes, summed, takes_pieces
from mtl_lightning.backward.rows import Rows


class ScatteredRows(Rows):
    """Rows that are added up over N processes in N parts, one for each: about half of what whole rows send.

    Each process multiplies its parts, and the products are added up. What the weighting makes of the rows is combined
    part by part, and gathered. Rows end in zeros so that N divides their length.

    Args:
        parameters: What the gradients are of; P values in all.
        num_tasks: K.
        keep: Whether the buffers outlive ``clear``.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], num_tasks: int, keep: bool = True) -> None:
        super().__init__(parameters, num_tasks, keep)
        self._num_processes = num_processes()
        self._width += -self.num_parameters % self._num_processes
        self._parts: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        return super().num_bytes + super().num_bytes // self._num_processes

    @property
    def values(self) -> Tensor:
        """This process's part of the rows [T, P / N], without copying."""
        assert self._parts is not None, "gather() comes first"
        return self._parts[: len(self.places)]

    @property
    def _padding(self) -> Sequence[Tensor]:
        missing = self._width - self.num_parameters
        return [self.parameters[0].new_empty(missing)] if missing else ()

    def clear(self) -> None:
        super().clear()
        self._parts = self._parts if self.keep else None

    def _send_row(self, place: int) -> None:
        pieces = self._pieces(place) if self._is_long and takes_pieces() else [self._written(place)]
        if self._parts is None or self._parts.dtype != pieces[0].dtype or self._parts.device != pieces[0].device:
            self._parts = self._new_buffer(self._width // self._num_processes)
        self._sums.start_parts(pieces, self._parts[place])

    def _pieces(self, place: int) -> list[Tensor]:
        """A row in pieces, the same ones on every process; what comes from a single batch is not copied first."""
        sources = [*self._sources, *self._padding]
        if place in self._waiting:
            gradients: Gradients = [*self._waiting.pop(place), *[None] * len(self._padding)]
        else:
            gradients = split(self._memory()[place], sources)
        return [piece.to(self._dtype) for piece in joined(gradients, sources)]

    def gramian(self) -> Tensor:
        return summed(super().gramian())

    def exact_gramian(self) -> Tensor:
        return summed(super().exact_gramian())

    def combine(self, weights: Sequence[Any], factor: Tensor) -> Tensor:
        return gathered(super().combine(weights, factor))[: self.num_parameters]
