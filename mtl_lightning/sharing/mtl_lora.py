"""MTL-LoRA: tasks share the thin matrices, and each transforms and mixes them in its own way."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.sharing.adapting import Factors, LowRank, LowRankSharing
from mtl_lightning.sharing.adapting.arguments import check_low_rank
from mtl_lightning.sharing.adapting.low_rank import downs, ups
from mtl_lightning.sharing.arguments import above_zero
from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.task_parameters import TaskParameters


class MTLLoRA(LowRankSharing):
    r"""Adds to linear maps of the encoder shared thin matrices with a small transformation per task between them.

    A map :math:`W x` becomes :math:`W x + \frac{\alpha}{r} \sum_i s_{ti} B^i \Lambda_t A x` for task t, with
    :math:`s_t = \mathrm{softmax}(w_t / \tau)`. Shared are A and the n matrices :math:`B^i`, all zero at the start; a
    task has :math:`\Lambda_t` [r, r], the identity at the start, and :math:`w_t` [n].

    Cost: r (in + n out) parameters for each linear map, and r² + n for each of its tasks. FLOPs as ``LoRA``.

    Reference: Yang et al., "MTL-LoRA: Low-Rank Adaptation for Multi-Task Learning" (AAAI 2025), equations 4 to 6.
    Difference: none.

    Helps: many related tasks with little data each: a task adds few numbers to what all have learned. Fails: tasks
    that conflict, since all write into the same matrices; then ``LoRA``, or a weighting that sees gradients.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        rank: r, the width of the matrices.
        num_ups: n, how many matrices :math:`B^i` there are.
        temperature: Tau: lower ones make a task choose among them.
        alpha: What they add is multiplied by alpha / r.
        dropout: Probability of zeroing what they read.
        targets: The linear maps, see ``LoRA``.
        freeze_encoder: Whether the encoder's own parameters stay as they are.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        rank: int = 8,
        num_ups: int = 3,
        temperature: float = 0.5,
        alpha: float = 16.0,
        dropout: float = 0.0,
        targets: str | Sequence[str] | None = None,
        freeze_encoder: bool = True,
    ) -> None:
        check_low_rank(alpha, dropout, rank=rank, num_ups=num_ups)
        above_zero("temperature", temperature)

        def adapter(linear: nn.Linear) -> LowRank:
            return TransformedLoRA(linear, tasks, rank, num_ups, temperature, alpha / rank, dropout)

        super().__init__(tasks, encoder, adapter, targets, freeze_encoder)


class TransformedLoRA(LowRank):
    """The matrices of one linear map."""

    def __init__(
        self,
        linear: nn.Linear,
        tasks: Sequence[str],
        rank: int,
        num_ups: int,
        temperature: float,
        scale: float,
        dropout: float,
    ) -> None:
        super().__init__(dropout)
        self.scale, self.temperature = scale, temperature
        self.down, self.ups = downs(linear, rank), ups(linear, rank, num_ups)
        device, bound = linear.weight.device, num_ups**-0.5
        self.transforms = TaskParameters({task: torch.eye(rank, device=device) for task in tasks})
        self.weights = TaskParameters(
            {task: torch.empty(num_ups, device=device).uniform_(-bound, bound) for task in tasks}
        )

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return [self.transforms[task], self.weights[task]]

    def factors(self, task: str) -> Factors:
        weights: Tensor = (self.weights[task] / self.temperature).softmax(0)
        return Factors(self.transforms[task] @ self.down, torch.tensordot(weights, self.ups, 1), self.scale)
