"""COSMOS: one model for all preferences between tasks."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.weighting.arguments import not_negative, positive
from mtl_lightning.weighting.base import LossWeighting

_LEAST = 1e-6
"""What a task is preferred at least."""


class COSMOS(LossWeighting):
    r"""Preferences are drawn anew in each step, and the model is told which: it learns to serve them all.

    The objective over the T tasks present is

    .. math::
        \sum_t r_t \ell_t - \lambda \cos(1 / r, \ell), \qquad r \sim \mathrm{Dirichlet}(\alpha, \ldots, \alpha).

    The first term alone has one solution for many preferences where the front is bent the wrong way; the second one
    pulls the vector of losses towards the direction in which all :math:`r_t \ell_t` are equal, so that solutions
    spread. A sharing that is told r, such as :class:`.PreferenceFiLM`, must stand in the model; which preference it
    serves afterwards is its option ``preference``. All processes draw the same.

    Reference: Ruchte and Grabocka, "Scalable Pareto Front Approximation for Deep Multi-Objective Learning" (ICDM 2021),
    the training objective. Difference: the paper's cosine is with r, which has the loss of what is preferred large and
    pulls against the first term; it gives r to the model as further inputs, for which :class:`.PreferenceFiLM` has
    another way. Taken from memory of the paper, which was not at hand.

    Helps: where it is not known beforehand what matters more: one training run in place of one for each preference.
    Fails: the direction of losses in different units says little, so that a :math:`\lambda` above 0 needs losses of
    about one scale, and its weights may be below 0. One model has to learn all solutions: in
    ``experiments/multimnist`` it reaches less than five models with fixed weights if it trains as long as one of them;
    no difference was shown where it trains as long as all five. Without a sharing that is told r, it is random weights.

    Args:
        tasks: Names of the K tasks.
        concentration: :math:`\alpha`, above 0: below 1 most draws nearly forget a task, far above 1 all are near equal.
        cosine: :math:`\lambda`, at least 0; 0.2 is the best of 0, 0.2 and 1 in ``experiments/multimnist``.
        seed: Of the random numbers; null: the seed of the run.

    Attributes:
        preference: r of the step to come [K], on the host.

    >>> import torch
    >>> weighting = COSMOS(["a", "b"], cosine=0.0, seed=0)
    >>> weighting(torch.tensor([1.0, 1.0]), torch.tensor([0, 1]))
    tensor(1.)
    """

    draws_preference = True
    preference: Tensor

    def __init__(
        self, tasks: Sequence[str], concentration: float = 1.0, cosine: float = 0.2, seed: int | None = None
    ) -> None:
        super().__init__(tasks)
        self.concentration = positive("concentration", concentration)
        self.cosine = not_negative("cosine", cosine)
        self.add_random_state(seed)
        self.add_state("preference", self._drawn())

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        preference = self.preference.to(losses, non_blocking=True)[tasks]
        self.preference = self._drawn()
        preference = preference / preference.sum()
        return preference @ losses - self.cosine * torch.cosine_similarity(1 / preference, losses, 0)

    def _drawn(self) -> Tensor:
        """A preference [K], above 0."""
        numbers = np.random.default_rng(
            self.generator().initial_seed()
        )  # torch has no such distribution of a generator
        drawn = numbers.dirichlet([self.concentration] * len(self.tasks))
        return torch.from_numpy(drawn).float().clamp(min=_LEAST)
