"""Auto-Lambda: weights that training moves to where a step on them lowers the validation loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.adam import adam_step
from mtl_lightning.weighting.arguments import known, not_negative, positive
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.batches import blocks


class AutoLambda(GramianWeighting):
    r"""Raises the weight of a task whose training gradient points the way of the primary tasks' validation gradient.

    With the tasks' gradients :math:`g_t` in a training batch, and :math:`g^{val}_t` in a validation batch, Adam moves
    the weights against the slope of the primary tasks' validation loss after a step of length :math:`\alpha`,

    .. math:: \frac{\partial}{\partial \lambda_t} \sum_p L^{val}_p(\theta - \alpha \sum_i \lambda_i g_i)
        = -\alpha \sum_p \langle g^{val}_p, g_t \rangle ,

    to at least 0, from :math:`\lambda_t` = ``initial``. The direction is :math:`\sum_t \lambda_t g_t`, with the moved
    weights. As Adam is blind to scale, :math:`\alpha` plays no part.

    Reference: Liu, James, Davison and Johns, "Auto-Lambda: Disentangling Dynamic Task Relationships" (TMLR 2022); the
    paper was not at hand: formula, Adam and defaults are those of its authors' program. Difference: first order, with
    the validation gradient at :math:`\theta`, where the program takes it after the step and finds the products by two
    more passes; and of the shared parameters alone. Their "validation" batch may be a second training batch, and their
    weights may become negative, which makes a task be unlearned.

    Needs: a batch of the validation split a step, at the cost of one more step without heads; memory for 2 K gradients.
    Validation data trains the weights and nothing else. Scores on it are no longer of data that training has not seen.

    Helps: where some tasks matter and others are there to help them: set ``primary_tasks``. Fails: where all tasks are
    primary, each is its own best helper, and weights drift together. With the default rate they move by some 1e-4 a
    step, so that short runs stay at equal weights. Once training steps raise the validation loss, all weights fall: at
    0 the shared parameters stand still. Heads train with full gradients unless ``head_gradients`` is ``weighted``.

    Args:
        tasks: Names of the K tasks.
        primary_tasks: Names of the tasks whose validation loss counts; null: all.
        initial: Weight of each task at first; at least 0.
        learning_rate: Of the weights; positive.
        log: Whether to combine the gradients of the logarithms of the losses.

    >>> rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double()
    >>> weighting = AutoLambda(["a", "b"], primary_tasks=["a"], learning_rate=0.01)
    >>> weighting((rows @ rows.T).repeat(2, 2), torch.ones(4).double(), torch.arange(2))
    tensor([0.1100, 0.0900], dtype=torch.float64)
    """

    needs_validation_batch = True
    weights: Tensor
    moments: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        primary_tasks: list[str] | None = None,
        initial: float = 0.1,
        learning_rate: float = 1e-4,
        log: bool = False,
    ) -> None:
        super().__init__(tasks, log)
        if primary_tasks is not None and not primary_tasks:
            raise UserError("`primary_tasks` is empty; name at least one task, or leave it out for all")
        self.primary = set(known("primary_tasks", primary_tasks or self.tasks, self.tasks))
        self.initial, self.learning_rate = not_negative("initial", initial), positive("learning_rate", learning_rate)
        self.add_state("weights", torch.full((len(self.tasks),), self.initial, dtype=torch.float64))
        self.add_state("moments", torch.zeros(3, len(self.tasks), dtype=torch.float64))

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        counts = torch.tensor([self.tasks[task] in self.primary for task in tasks.tolist()])
        slope = -blocks(gramian, len(tasks))[1, 0][counts].sum(0)
        moments = self.moments[:, tasks].numpy()
        step = torch.from_numpy(adam_step(slope.numpy(), moments))
        self.moments[:, tasks] = torch.from_numpy(moments)
        self.weights[tasks] = (self.weights[tasks] - self.learning_rate * step).clamp(min=0)
        return self.weights[tasks]
