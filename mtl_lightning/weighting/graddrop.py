"""GradDrop: one sign for each parameter, drawn by how much the gradients agree."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.arguments import by_name
from mtl_lightning.weighting.base import JacobianWeighting


class GradDrop(JacobianWeighting):
    r"""Keeps, for each parameter, only the gradients of one sign, drawn at random.

    The sign is positive with the probability
    :math:`P = \frac12 \left(1 + \frac{\sum_i g_i}{\sum_i |g_i|}\right)`. With the mask :math:`M_i` of the entries that
    have the drawn sign, the direction is :math:`\sum_i (l_i + (1 - l_i) M_i) g_i`.

    Reference: Chen et al., "Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout" (NeurIPS
    2020), algorithm 1, lines 10 to 15, with the identity for f. Difference: the paper masks gradients of features,
    multiplied by the sign of the features and summed over the batch; this masks gradients of parameters.

    Helps: with many tasks, where the noise of dropping regularises; parameters on which all tasks agree are trained as
    usual. Fails: the direction is random where tasks disagree, and long gradients decide the odds. In
    ``experiments/toy`` it ends where equal weights do, and in ``experiments/multimnist`` no difference from them was
    shown.

    Args:
        tasks: Names of the K tasks.
        leak: The part :math:`l_i` of a gradient that passes in any case, from 0 to 1: one for all tasks, or by name (0
            where a task is not named).
        seed: Of the signs; null: the seed of the run.

    >>> weighting = GradDrop(["a", "b"], leak={"b": 1.0})
    >>> weighting(torch.tensor([[3.0, 1.0], [1.0, 2.0]]), torch.ones(2), torch.arange(2))
    tensor([4., 3.])
    """

    leak: Tensor

    def __init__(self, tasks: Sequence[str], leak: float | Mapping[str, float] = 0.0, seed: int | None = None) -> None:
        super().__init__(tasks)
        leaks = leak if isinstance(leak, Mapping) else dict.fromkeys(self.tasks, leak)
        numbers = by_name("leak", leaks, self.tasks, default=0.0)
        if not ((numbers >= 0) & (numbers <= 1)).all():
            raise UserError(f"`leak` must be from 0 to 1, found {leak}")
        self.register_buffer("leak", numbers, persistent=False)
        self.add_random_state(seed)

    def forward(self, jacobian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        device = jacobian.device
        draws = torch.rand(jacobian.shape[1], device=device, dtype=torch.float32, generator=self.generator(device))
        leak = self.leak[tasks].to(jacobian)
        positive = jacobian.clamp(min=0)
        negative = jacobian - positive
        up = draws * (positive - negative).sum(0) < positive.sum(0)
        return leak @ jacobian + torch.where(up, (1 - leak) @ positive, (1 - leak) @ negative)
