"""RLW, random loss weighting."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.weighting.base import LossWeighting

_DISTRIBUTIONS = ("normal", "dirichlet")


class RLW(LossWeighting):
    r"""The objective :math:`\sum_t \lambda_t \ell_t` over the tasks present, with new random weights in each step.

    The weights are positive and sum to 1: the softmax of standard normal numbers, or a draw from the flat Dirichlet
    distribution. Each is 1 / T on average: expect the losses' mean, not their sum. All processes draw the same.

    Reference: Lin et al., "Reasonable Effectiveness of Random Weighting: A Litmus Test for Multi-Task Learning" (TMLR
    2022), algorithm 2. Difference: of the paper's distributions, these two.

    Helps: as a test of other methods: one that does not beat random weights has shown nothing. Fails: the weights add
    noise to the direction of each step: in ``experiments/multimnist`` it was shown to be worse than equal weights, at
    the same learning rate.

    Args:
        tasks: Names of the K tasks.
        distribution: ``normal``, the paper's standard choice, or ``dirichlet``.
        seed: Of the random numbers; null: the seed of the run.

    >>> import torch
    >>> weighting = RLW(["a", "b"], seed=0)
    >>> weighting(torch.tensor([1.0, 1.0]), torch.tensor([0, 1]))
    tensor(1.)
    """

    def __init__(
        self,
        tasks: Sequence[str],
        distribution: Literal["normal", "dirichlet"] = "normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(tasks)
        if distribution not in _DISTRIBUTIONS:
            raise UserError(f"`distribution` is '{distribution}'; {did_you_mean(distribution, _DISTRIBUTIONS)}")
        self.distribution = distribution
        self.add_random_state(seed)

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        numbers, generator = torch.empty(len(self.tasks)), self.generator()
        if self.distribution == "normal":
            logits = numbers.normal_(generator=generator)
        else:
            logits = numbers.exponential_(generator=generator).log()
        return torch.softmax(logits.to(losses, non_blocking=True)[tasks], 0) @ losses
