"""What methods that compare several batches have in common; see ``Weighting.batches_per_step``."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.base import GramianWeighting

Direction = Literal["last", "mean"]
"""Of which batches the direction is made: the last alone, or the mean of all."""


class SimplexOfBatches(GramianWeighting):
    """A method whose state are weights on the simplex, learned from some batches and used on one that is independent.

    Tasks that are compared keep the sum of their weights in the state, and in the direction those sum to one.

    Args:
        tasks: Names of the K tasks.
        direction: Of which batches the direction is made.
        log: Whether to combine the gradients of the logarithms of the losses.
    """

    weights: Tensor

    def __init__(self, tasks: Sequence[str], direction: Direction = "last", log: bool = False) -> None:
        super().__init__(tasks, log)
        if direction not in (choices := get_args(Direction)):
            raise UserError(f"`direction` must be one of {', '.join(choices)}, found {direction!r}")
        self.direction = direction
        num_tasks = len(self.tasks)
        self.add_state("weights", torch.full((num_tasks,), 1 / num_tasks, dtype=torch.float64))

    def of(self, tasks: Tensor) -> Tensor:
        """The weights of some tasks [T], scaled to sum to one."""
        total = self.weights[tasks].sum()
        return torch.where(total > 0, self.weights[tasks] / total, 1 / len(tasks))

    def keep(self, weights: Tensor, tasks: Tensor) -> None:
        """Takes new weights [T], which sum to one, into the state."""
        self.weights[tasks] = weights * self.weights[tasks].sum()

    def spread(self, weights: Tensor) -> Tensor:
        """Weights of the tasks [T] as weights of their gradients in each batch [b T]."""
        number = self.batches_per_step
        if self.direction == "mean":
            return (weights / number).repeat(number)
        return torch.cat([weights.new_zeros((number - 1) * len(weights)), weights])


def blocks(gramian: Tensor, num_tasks: int) -> Tensor:
    """The inner products [b, b, T, T] of the gradients in b batches: in [i, j], of those in batch i with those in j."""
    number = len(gramian) // num_tasks
    return gramian.view(number, num_tasks, number, num_tasks).transpose(1, 2)


def of_equal_batches(weighting: GramianWeighting, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
    """The weights [T] that a method gives where all batches of its step are the same.

    Args:
        weighting: Any Gramian method; the batch of validation data is the same, too. If it moves parameters, gradients
            do not change.
        gramian: Inner products of the tasks' gradients [T, T].
        losses: [T].
        tasks: [T].
    """
    number = weighting.gradients_per_task
    products = gramian.repeat(number, number)
    if weighting.perturbs_parameters:
        products[len(gramian) :] = products[:, len(gramian) :] = 0
    weights: Tensor = weighting(products, losses.repeat(number), tasks)
    return weights.view(-1, len(gramian))[: weighting.batches_per_step].sum(0)
