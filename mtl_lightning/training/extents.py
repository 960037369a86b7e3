"""Between which values the targets of an evaluation lie."""

import torch
from torch import Tensor
from torchmetrics import Metric


class Extents(Metric):
    """The smallest and the largest target of each of several tasks.

    Args:
        size: Number of tasks K.

    >>> extents = Extents(2)
    >>> extents.update(0, torch.tensor([3.0, torch.nan, 3.0]), torch.nan)
    >>> extents.update(1, torch.tensor([0, -100, 1]), -100)
    >>> extents.compute().tolist()
    [[3.0, 0.0], [3.0, 1.0]]
    """

    full_state_update = False
    low: Tensor
    high: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.add_state("low", torch.full((size,), torch.inf), dist_reduce_fx="min")
        self.add_state("high", torch.full((size,), -torch.inf), dist_reduce_fx="max")

    def update(self, index: int, targets: Tensor, missing: float) -> None:
        """Takes some targets of the task with this index; those that are ``missing`` are left out."""
        values = targets.float()
        present = ~values.isnan() if missing != missing else torch.ne(targets, missing)
        self.low[index] = torch.minimum(self.low[index], torch.where(present, values, torch.inf).min())
        self.high[index] = torch.maximum(self.high[index], torch.where(present, values, -torch.inf).max())

    def compute(self) -> Tensor:
        """Smallest and largest target [2, K], in float32; infinite where there is none."""
        return torch.stack([self.low, self.high])
