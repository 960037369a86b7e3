"""Reptile: towards what an episode's own training arrives at."""

from itertools import cycle, islice

import torch
from torch import Tensor

from mtl_lightning.inner_loops.base import Episode, InnerLoop, Parameters, gradients_of


class Reptile(InnerLoop):
    r"""Trains on an episode for some steps, and moves towards where that led.

    With :math:`\phi` the parameters after ``steps`` steps of gradient descent, each on as many of the episode's
    examples as the support set has, in turn, the gradient is :math:`(\theta - \phi) / \alpha`, the sum of the inner
    gradients. There are no second derivatives. It is written as that of a loss whose value is the mean of the inner
    losses, so that a weighting can compare it to other tasks' gradients.

    Cost: ``steps`` passes of as many examples as the support set has. Episodes of some more queries help.

    Reference: Nichol, Achiam and Schulman, "On First-Order Meta-Learning Algorithms" (2018), algorithm 1 and equation
    (28). Difference: :math:`\alpha` divides the difference, as their analysis has it, so that the outer learning rate
    does not depend on the inner one: their step size is the outer rate of SGD times :math:`\alpha`.

    Args:
        lr: :math:`\alpha`, above 0.
        steps: Number of inner steps, 2 or more to differ from joint training.
        eval_steps: The same in an evaluation, on the support set alone; null: as many.
        parameters: Pattern of the names of the parameters that adapt. Others do not train.
        vectorized: Whether the episodes of a batch adapt at once; see :class:`.InnerLoop`.
        head_lr: Inner learning rate of the heads, above 0; null: ``lr``.
    """

    def __init__(
        self,
        lr: float = 0.02,
        steps: int = 8,
        eval_steps: int | None = None,
        parameters: str = "*",
        vectorized: bool = False,
        head_lr: float | None = None,
    ) -> None:
        super().__init__(lr, steps, eval_steps, parameters, vectorized, head_lr)

    def loss(self, parameters: Parameters, episode: Episode) -> Tensor:
        current = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        losses = []
        for batch in islice(cycle(episode.batches), self.steps):
            loss = batch(current)
            gradients = gradients_of(loss, current)
            losses.append(loss.detach())
            current = {
                name: (value - self.rate(name) * gradients[name]).detach().requires_grad_()
                for name, value in current.items()
            }
        direction = sum(
            (value * ((value - current[name]).detach() / self.fixed_rate(name))).sum()
            for name, value in parameters.items()
        )
        assert isinstance(direction, Tensor)
        direction = direction / losses[0].numel()
        return torch.stack(losses).mean(0) + direction - direction.detach()
