"""STCH, smooth Tchebycheff scalarization: a smooth maximum of the losses."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.weighting.arguments import at_least, by_name, positive
from mtl_lightning.weighting.base import LossWeighting
from mtl_lightning.weighting.log_losses import log_losses


class STCH(LossWeighting):
    r"""A smooth maximum of the losses: the task that is worst off weighs most.

    The objective over the T tasks present is

    .. math::
        \mu \log \sum_t \exp(\lambda_t (\ell_t - z_t) / \mu),

    with preferences :math:`\lambda` that sum to 1 over them. It tends to :math:`\max_t \lambda_t (\ell_t - z_t)` as
    :math:`\mu` tends to 0.

    Losses of different scales have no common maximum. With ``warmup_epochs``, the form of the paper's multi-task
    experiments, the objective is :math:`\sum_t \log \ell_t` for that many epochs, and from then on

    .. math::
        T \mu \log \sum_t \exp(T \lambda_t \log(\ell_t / \bar\ell_t) / \mu),

    where :math:`\bar\ell_t` is the task's mean loss over the last of these epochs that had it, or 1 if none had. A step
    with a negative loss is skipped then.

    Reference: Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective Optimization" (ICML 2024), the
    definition in section 3; the form with logarithms is that of the authors' code, which has no preferences and counts
    epochs from zero (its ``warmup_epoch`` of 4 is 5 here). Difference: none.

    Helps: where the worst task counts: unlike a weighted sum it can reach the parts of a Pareto front that are not
    convex. Fails: without ``warmup_epochs`` losses are compared as they are, and the one with the largest unit takes
    nearly all the weight; a small :math:`\mu` trains one task at a time. With equal preferences the weights sum to 1 /
    T, so plain SGD needs a larger learning rate. With its defaults it was shown to be worse than equal weights in
    ``experiments/multimnist``.

    Args:
        tasks: Names of the K tasks.
        mu: :math:`\mu`, above 0.
        preferences: :math:`\lambda_t` of every task, by name, above 0 and in any unit; null: equal.
        reference: The ideal losses :math:`z_t`, by name; 0 for tasks not named. Not together with ``warmup_epochs``.
        warmup_epochs: Epochs of the warm-up; 0: the plain form, without logarithms.

    >>> import torch
    >>> STCH(["a", "b"], mu=0.01)(torch.tensor([2.0, 4.0]), torch.tensor([0, 1]))
    tensor(2.)
    """

    preferences: Tensor
    reference: Tensor
    means: Tensor
    num_epochs: int

    def __init__(
        self,
        tasks: Sequence[str],
        mu: float = 1.0,
        preferences: Mapping[str, float] | None = None,
        reference: Mapping[str, float] | None = None,
        warmup_epochs: int = 0,
    ) -> None:
        super().__init__(tasks)
        self.mu = positive("mu", mu)
        self.warmup_epochs = at_least(0, "warmup_epochs", warmup_epochs)
        self.domain = "losses of at least 0 with `warmup_epochs`" if warmup_epochs else ""
        if warmup_epochs and reference:
            raise UserError("`reference` is of the form without `warmup_epochs`; leave one of them out")
        names = self.tasks
        values = torch.ones(len(names)) if preferences is None else by_name("preferences", preferences, names)
        for name, value in zip(names, values.tolist(), strict=True):
            positive(f"preferences.{name}", value)
        self.register_buffer("preferences", values, persistent=False)
        self.register_buffer("reference", by_name("reference", reference or {}, names, default=0.0), persistent=False)
        self.register_buffer("means", torch.ones(len(names)))
        self.add_state("num_epochs", 0)

    @property
    def needs_epochs(self) -> bool:
        return self.warmup_epochs > 0

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        preferences = self.preferences[tasks] / self.preferences[tasks].sum()
        if not self.warmup_epochs:
            return self._smooth_maximum(preferences * (losses - self.reference[tasks]))
        if self.num_epochs < self.warmup_epochs:
            return log_losses(losses).sum()
        progress = log_losses(losses) - log_losses(self.means[tasks])
        return len(losses) * self._smooth_maximum(len(losses) * preferences * progress)

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return ((losses < 0) | (self.means[tasks] < 0)) & (self.warmup_epochs > 0)

    def _smooth_maximum(self, values: Tensor) -> Tensor:
        highest = values.detach().max()
        return highest + self.mu * torch.logsumexp((values - highest) / self.mu, 0)

    @torch.no_grad()
    def on_epoch_end(self, losses: Tensor, tasks: Tensor) -> None:
        if self.num_epochs < self.warmup_epochs:
            self.means[tasks] = losses.to(self.means)
        self.num_epochs += 1
