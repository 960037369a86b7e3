"""The rows of the Jacobian: gradients of the tasks, one below the other in one buffer."""

from collections.abc import Collection, Iterable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from mtl_lightning.backward.gradients import Gradients, flatten
from mtl_lightning.backward.processes import Sums
from mtl_lightning.errors import UserError
from mtl_lightning.weighting.inner_products import exact_gramian, gramian_on_device

_LONG = 1 << 18
"""Values of rows that are written at once."""


class Rows:
    """Per-task gradients of some parameters, flat, in one buffer [K, P].

    Tasks take the rows from the top in the order in which they come, so that those of a step are contiguous. Short
    ones wait for each other, to be written together. Rows are sums over processes once ``gather`` returns.

    Args:
        parameters: What the gradients are of; P values in all.
        num_tasks: K.
        keep: Whether the buffer outlives ``clear``: for those who need it in every step.

    Attributes:
        used: For each parameter, whether a task of this process has a gradient of it.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], num_tasks: int, keep: bool = True) -> None:
        self.parameters = parameters
        self.num_tasks = num_tasks
        self.keep = keep
        self.used = [False] * len(parameters)
        self.num_parameters = sum(parameter.numel() for parameter in parameters)
        self._places: dict[str, int] = {}
        self._waiting: dict[int, Gradients] = {}
        self._filled: set[str] = set()
        self._sent: set[str] = set()
        self._buffer: Tensor | None = None
        self._made_for = _kind(parameters)
        self._sums = Sums()

    @property
    def tasks(self) -> list[str]:
        """The tasks that have a row, from the top."""
        return list(self._places)

    @property
    def values(self) -> Tensor:
        """The rows [T, P], without copying."""
        return self._memory()[: len(self._places)]

    def clear(self) -> None:
        """Forgets the rows, and the memory unless it is kept."""
        self._places, self._waiting, self._filled, self._sent = {}, {}, set(), set()
        self._buffer = self._buffer if self.keep else None
        self.used = [False] * len(self.parameters)

    def start_batch(self, tasks: Collection[str]) -> None:
        """Takes a row for each task that has none, which stays zero if no gradient is added."""
        if not self._places and self._made_for != _kind(self.parameters):
            self._buffer = None  # the model has moved, or changed its type
        for task in tasks:
            self._places.setdefault(task, len(self._places))

    def add(self, task: str, gradients: Gradients, sources: Sequence[Tensor]) -> None:
        """Adds to a task's row.

        Args:
            task: Its name.
            gradients: One for each parameter; none where the task does not use it.
            sources: The parameters.
        """
        assert task not in self._sent, f"the gradient of '{task}' is already on its way to other processes"
        if not all(self.used):
            self.used = [used or g is not None for used, g in zip(self.used, gradients, strict=True)]
        place = self._places[task]
        if task in self._filled:
            self._memory()[place] += flatten(gradients, sources)
            return
        self._filled.add(task)
        if place - 1 not in self._waiting:
            self._write()
        self._waiting[place] = gradients
        if len(self._waiting) * self.num_parameters >= _LONG:
            self._write()

    def end_batch(self) -> None:
        """Called when all tasks of a batch are in."""
        self._write()

    def _write(self) -> None:
        """Writes the rows that wait, which are one below the other."""
        if self._waiting:
            number, length, first = len(self._waiting), self.num_parameters, next(iter(self._waiting))
            rows = self._memory().as_strided((number * length,), (1,), first * length)
            gradients = [gradient for row in self._waiting.values() for gradient in row]
            flatten(gradients, [*self.parameters] * number, out=rows)
            self._waiting = {}

    def send(self, tasks: Iterable[str]) -> None:
        """Starts to add up rows over processes, while other tasks' gradients are computed."""
        rows = {task: self._memory()[self._places[task]] for task in tasks}
        for task in rows.keys() - self._filled:
            rows[task].zero_()
        self._sums.start(*rows.values())
        self._sent.update(rows)

    def gather(self, device: torch.device) -> None:
        """Sends what has not been sent and waits until all rows are there."""
        self.send([task for task in self._places if task not in self._sent])
        self._sums.wait()

    def gramian(self) -> Tensor:
        """Inner products of the rows [T, T], float64, on their device."""
        return gramian_on_device(self.values)

    def exact_gramian(self) -> Tensor:
        """The same where float32 squares do not suffice."""
        return exact_gramian(self.values)

    def _memory(self) -> Tensor:
        if self._buffer is None:
            self._made_for = _kind(self.parameters)
            dtype = reduce(torch.promote_types, (p.dtype for p in self.parameters), torch.float32)
            device = self.parameters[0].device if self.parameters else None
            self._buffer = torch.empty(self.num_tasks, self.num_parameters, dtype=dtype, device=device)
        return self._buffer


def _kind(parameters: Sequence[nn.Parameter]) -> tuple[torch.device, torch.dtype] | None:
    return (parameters[0].device, parameters[0].dtype) if parameters else None


class FeatureProducts:
    """Inner products of the tasks' gradients of an encoder's features, added up over batches and processes.

    Each example has features of its own, so that the gradients of a whole step would be as long as its batch; only
    their products are kept.

    Args:
        num_tasks: K.
    """

    def __init__(self, num_tasks: int) -> None:
        self.num_tasks = num_tasks
        self._places: dict[str, int] = {}
        self._batch: list[str] = []
        self._rows = torch.empty(0, 0)
        self._products: Tensor | None = None

    @property
    def tasks(self) -> list[str]:
        """The tasks that have a place, in the order of the products."""
        return list(self._places)

    def clear(self) -> None:
        """Forgets the products."""
        self._places, self._batch, self._products = {}, [], None

    def start_batch(self, tasks: Collection[str]) -> None:
        """Gives the tasks their places among the products.

        Raises:
            UserError: If the batches before had other tasks, unless labels were missing.
        """
        if not (self._places.keys() <= set(tasks) or set(tasks) <= self._places.keys()):
            raise UserError(
                "`gradient_of: features` compares gradients by the features of common examples, but the data sets of a "
                "step label different tasks; use `shared`, or a pattern of parameter names"
            )
        for task in tasks:
            self._places.setdefault(task, len(self._places))

    def add(self, task: str, gradients: Gradients, sources: Sequence[Tensor]) -> None:
        """Keeps a task's gradients, one for each of the features, until the batch ends."""
        size = sum(source.numel() for source in sources)
        first = sources[0]
        if self._rows.shape[1] != size or self._rows.dtype != first.dtype or self._rows.device != first.device:
            self._rows = first.new_empty(self.num_tasks, size)
        flatten(gradients, sources, out=self._rows[len(self._batch)])
        self._batch.append(task)

    def end_batch(self) -> None:
        """Multiplies the gradients of one batch, exactly: they do not last until somebody can look at the products."""
        if self._batch:
            products = exact_gramian(self._rows[: len(self._batch)])
            places = torch.tensor([self._places[task] for task in self._batch]).to(products.device, non_blocking=True)
            total = products.new_zeros(self.num_tasks, self.num_tasks)
            total[places.unsqueeze(1), places] = products
            self._products = total if self._products is None else self._products + total
            self._batch = []

    def send(self, tasks: Iterable[str]) -> None:
        """Nothing yet: the products are small and go together."""

    def gather(self, device: torch.device) -> None:
        """Adds up over processes, on the device."""
        if self._products is None:
            self._products = torch.zeros(self.num_tasks, self.num_tasks, dtype=torch.float64, device=device)
        sums = Sums()
        sums.start(self._products)
        sums.wait()

    def gramian(self) -> Tensor:
        """Inner products [T, T], float64, on their device."""
        assert self._products is not None, "gather() comes first"
        return self._products[: len(self._places), : len(self._places)]
