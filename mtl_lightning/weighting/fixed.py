"""Fixed weighting: a weighted sum of the losses."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.arguments import known, not_negative
from mtl_lightning.weighting.base import LossWeighting


class FixedWeighting(LossWeighting):
    r"""The objective :math:`\sum_t \lambda_t \ell_t` over the tasks present, with constant :math:`\lambda_t`.

    Reference: scalarization; see Xin et al., "Do Current Multi-Task Optimization Methods in Deep Learning Even Help?"
    (NeurIPS 2022), equation 2. Difference: the weights need not sum to one.

    Helps: where the importance of the tasks is known, or the weights are searched for (``compare --tune``). Fails: with
    many tasks there are many weights to search for: in ``experiments/sentiment`` four weights found with three trials
    were shown to be worse than equal ones. Good weights change while losses fall; these do not.

    Args:
        tasks: Names of the K tasks.
        weights: The weight of each task, by name; not negative.

    >>> FixedWeighting(["a", "b"], {"a": 1.0, "b": 0.5})(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
    tensor(2.)
    """

    weights: Tensor

    def __init__(self, tasks: Sequence[str], weights: Mapping[str, float]) -> None:
        super().__init__(tasks)
        for name in known("weights", weights, self.tasks):
            not_negative(f"weights.{name}", weights[name])
        if missing := [name for name in self.tasks if name not in weights]:
            raise UserError(f"`weights` misses {', '.join(missing)}; give every task a weight")
        self.register_buffer("weights", torch.tensor([float(weights[name]) for name in self.tasks]))

    @property
    def constant_weights(self) -> dict[str, float]:
        return dict(zip(self.tasks, self.weights.tolist(), strict=True))

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return (self.weights[tasks] * losses).sum()
