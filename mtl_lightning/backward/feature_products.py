"""Inner products of gradients of what an encoder makes of examples."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from mtl_lightning.backward.compared import Compared
from mtl_lightning.backward.gradients import Gradients, flatten
from mtl_lightning.backward.processes import Sums
from mtl_lightning.errors import UserError
from mtl_lightning.weighting.inner_products import exact_gramian


class FeatureProducts(Compared):
    """Inner products of the tasks' gradients of an encoder's features, added up over batches and processes.

    Each example has features of its own, so that the gradients of a whole step would be as long as its batch; only
    their products are kept.

    Args:
        num_tasks: K.
    """

    def __init__(self, num_tasks: int) -> None:
        super().__init__(num_tasks)
        self._batch: list[str] = []
        self._rows = torch.empty(0, 0)
        self._products: Tensor | None = None

    def clear(self) -> None:
        super().clear()
        self._batch, self._products = [], None

    def start_batch(self, tasks: Collection[str]) -> None:
        """Gives the tasks their places among the products.

        Raises:
            UserError: If the batches before had other tasks, unless labels were missing.
        """
        if not (self.places.keys() <= set(tasks) or set(tasks) <= self.places.keys()):
            raise UserError(
                "`gradient_of: features` compares gradients by the features of common examples, but the data sets of a "
                "step label different tasks; use `shared`, or a pattern of parameter names"
            )
        super().start_batch(tasks)

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
            places = torch.tensor([self.places[task] for task in self._batch]).to(products.device, non_blocking=True)
            total = products.new_zeros(self.num_tasks, self.num_tasks)
            total[places.unsqueeze(1), places] = products
            self._products = total if self._products is None else self._products + total
            self._batch = []

    def send(self, task: str) -> None:
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
        return self._products[: len(self.places), : len(self.places)]
