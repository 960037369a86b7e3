"""GO4Align: tasks in groups, each group with one weight."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.weighting.arguments import at_least, positive
from mtl_lightning.weighting.base import LossWeighting
from mtl_lightning.weighting.line_clusters import cluster_means


class GO4Align(LossWeighting):
    r"""Groups the tasks by how much each should weigh, and gives all tasks of a group the mean of their weights.

    A probability :math:`p_t` of each task, over the T present, follows the losses; the indicator :math:`\gamma_t` of a
    task is that in the unit of its loss:

    .. math::
        p_t \propto p_t \exp(-\eta \ell_t), \qquad
        \gamma_t = p_t \frac{\sum_i \ell_i}{\ell_t}, \qquad
        \sum_t \bar\gamma_{c(t)} \ell_t ,

    where the last is the objective: :math:`c(t)` is the task's cluster of the indicators, by k-means, and
    :math:`\bar\gamma` the mean of a cluster. Weights are no function of the losses. Losses must be positive: one of
    exactly zero has nothing to gain, weighs 0 and joins no group; a step with a negative one is skipped.

    Reference: Shen et al., "GO4Align: Group Optimization for Multi-Task Alignment" (NeurIPS 2024), section 3, adaptive
    group risk minimization; formulas as in the authors' code. Difference: the clusters are the best there are, found by
    a dynamic program, where the authors' k-means starts from random points. A task that is missing from a step keeps
    its probability.

    Helps: with several tasks that learn alike: they share a weight, which is then less noisy than one for each, and
    losses of different units are brought to one scale. Fails: with two groups of few tasks, weights jump when a task
    changes its group. With the default step size probabilities hardly move in short runs. A loss approaching zero takes
    a weight without bound.

    Args:
        tasks: Names of the K tasks.
        num_groups: How many groups there are at most. The paper has 2 for 2 and 3 tasks, 3 for 11.
        step_size: :math:`\eta`, above 0.

    >>> import torch
    >>> losses = torch.tensor([1.0, 1.0, 4.0], requires_grad=True)
    >>> torch.autograd.grad(GO4Align(["a", "b", "c"])(losses, torch.tensor([0, 1, 2])), losses)
    (tensor([2.0002, 2.0002, 0.4999]),)
    """

    domain = "losses of at least 0"
    log_probabilities: Tensor

    def __init__(self, tasks: Sequence[str], num_groups: int = 2, step_size: float = 1e-4) -> None:
        super().__init__(tasks)
        self.num_groups = at_least(1, "num_groups", num_groups)
        self.step_size = positive("step_size", step_size)
        self.register_buffer("log_probabilities", torch.zeros(len(self.tasks)))

    def forward(self, losses: Tensor, tasks: Tensor) -> Tensor:
        values = losses.detach()
        scales = (values.sum() / values).clamp(max=torch.finfo(values.dtype).max)
        indicators = torch.where(values > 0, scales * self._probabilities(values, tasks), 0.0)
        weights = cluster_means(indicators, (values > 0).to(values), self.num_groups)
        weights = torch.where(values > 0, weights, 0.0)
        return (torch.where(values < 0, torch.nan, weights) * losses).sum()

    def _probabilities(self, losses: Tensor, tasks: Tensor) -> Tensor:
        """Of the tasks present [T], summing to 1, after a step; what they have together among all K stays."""
        before = self.log_probabilities[tasks]
        after = torch.log_softmax(before - self.step_size * losses.to(before), 0)
        self.log_probabilities[tasks] = after + before.logsumexp(0)
        return after.exp().to(losses)

    def undefined(self, losses: Tensor, tasks: Tensor) -> Tensor:
        return losses < 0
