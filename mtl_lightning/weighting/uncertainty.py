"""Uncertainty weighting: losses divided by learned variances."""

from collections.abc import Sequence
from math import isfinite

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.arguments import known
from mtl_lightning.weighting.base import LossWeighting


class UncertaintyWeighting(LossWeighting):
    r"""Divides each loss by a trained variance of its task, :math:`s_t = \log \sigma_t^2`.

    The objective is the sum, over the tasks present, of :math:`e^{-s_t} \ell_t + s_t / 2` for a classification (its
    loss a cross-entropy) and :math:`e^{-s_t} \ell_t / 2 + s_t / 2` for a regression (its loss a squared error). The
    log variances are parameters: the model's optimizer trains them. Losses should be positive, as these two are: others
    have no best variance, and theirs shrinks without end.

    Reference: Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics" (CVPR 2018), equations 7 (regression) and 10 (classification). Difference: none; weight decay, where the
    optimizer has any, also acts on the log variances.

    Helps: where losses have different units or tasks different noise: at the best variances a task weighs :math:`1 / (2
    \ell_t)` (classification), as in scale-invariant weighting, but smoothed over steps. Fails: in short runs: under
    Adam a log variance moves by about the learning rate a step, hence by no more than 1 in 1,000 steps at 1e-3. Where a
    loss approaches zero, its weight grows without bound.

    Args:
        tasks: Names of the K tasks.
        regression: Names of the tasks of the regression form; the others have that of a classification.
        initial_log_variance: What every :math:`s_t` starts from; finite.

    >>> import torch
    >>> UncertaintyWeighting(["a", "b"], regression=["b"])(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
    tensor(2., grad_fn=<SumBackward0>)
    """

    factors: Tensor

    def __init__(self, tasks: Sequence[str], regression: Sequence[str] = (), initial_log_variance: float = 0.0) -> None:
        super().__init__(tasks)
        if not isfinite(initial_log_variance):
            raise UserError(f"`initial_log_variance` must be a finite number, found {initial_log_variance}")
        known("regression", regression, self.tasks)
        factors = torch.tensor([0.5 if name in regression else 1.0 for name in self.tasks])
        self.register_buffer("factors", factors, persistent=False)
        self.log_variances = nn.Parameter(torch.full_like(factors, initial_log_variance))

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        log_variances = self.log_variances[tasks]
        return (self.factors[tasks] * torch.exp(-log_variances) * losses + log_variances / 2).sum()
