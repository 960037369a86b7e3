"""The rows of the Jacobian where parameters are sharded: each process holds its part of them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.backward.gradients import Gradients
from mtl_lightning.backward.processes import summed
from mtl_lightning.backward.rows import Rows
from mtl_lightning.backward.shards import is_sharded, local
from mtl_lightning.weighting.inner_products import exact_gramian, gramian_on_device, is_accurate


class ShardedRows(Rows):
    """Per-task gradients of which this process holds what belongs to its shards, and to whole parameters.

    Parameters that are whole on each process come first. Of them the sums over processes are computed here; of the
    others they arrive as such. Of the sharded ones, no more than the inner products [T, T] go to other processes.

    Args:
        parameters: What the gradients are of.
        num_tasks: K.
        keep: See :class:`.Rows`.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], num_tasks: int, keep: bool = True) -> None:
        super().__init__(sorted(parameters, key=is_sharded), num_tasks, keep)
        self._order = sorted(range(len(parameters)), key=lambda place: is_sharded(parameters[place]))
        self._num_everywhere = self.num_parameters
        self._num_whole = sum(parameter.numel() for parameter in parameters if not is_sharded(parameter))
        self.num_parameters = self._width = sum(part.numel() for part in self._sources)

    @property
    def _sources(self) -> Sequence[Tensor]:
        return [local(parameter) for parameter in self.parameters]

    def add(self, task: str, gradients: Gradients, sources: Sequence[Tensor]) -> None:
        super().add(task, [gradients[place] for place in self._order], self._sources)

    def _send_row(self, place: int) -> None:
        if self._num_whole:
            self._sums.start(self._written(place)[: self._num_whole])

    def gramian(self) -> Tensor:
        return self._products(gramian_on_device)

    def is_accurate(self, products: Tensor) -> bool:
        return is_accurate(products, self._num_everywhere, self.values.dtype)

    def exact_gramian(self) -> Tensor:
        return self._products(exact_gramian)

    def _products(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        whole, parts = torch.split(self.values, [self._num_whole, self.num_parameters - self._num_whole], dim=1)
        return of(whole) + summed(of(parts))
