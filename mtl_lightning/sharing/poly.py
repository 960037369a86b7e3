"""Poly: tasks learn which of a stock of low-rank skills each of them uses."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.sharing.adapting import Factors, LowRank, LowRankSharing
from mtl_lightning.sharing.adapting.arguments import check_low_rank
from mtl_lightning.sharing.adapting.low_rank import downs, ups
from mtl_lightning.sharing.arguments import above_zero
from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.observing import ExpertUse, Observations
from mtl_lightning.sharing.task_parameters import TaskParameters


class Poly(LowRankSharing):
    r"""Adds to linear maps of the encoder a mean of thin matrices, the skills, that each task weighs for itself.

    A map :math:`W x` becomes :math:`W x + \frac{\alpha}{r} \bar B_t \bar A_t x` for task t, with :math:`\bar A_t =
    \sum_s \hat z_{ts} A_s`, :math:`\bar B_t` likewise, and :math:`\hat z_t = z_t / \sum_s z_{ts}`. In training
    :math:`z_{ts}` is drawn from a relaxed Bernoulli distribution around a logit that the task learns; in evaluation it
    is its sigmoid. All B are zero at the start.

    Cost: S r (in + out) parameters for each linear map, and S for each of its tasks. FLOPs as ``LoRA``, and S r (in +
    out) for the mean, whatever the size of the batch.

    Reference: Ponti et al., "Combining Parameter-efficient Modules for Task-level Generalisation" (EACL 2023),
    equations 1 to 4. Difference: each linear map has logits of its own, as in peft, not one set for the whole model.
    There is no prior over the allocation, and skills and logits have one learning rate, not two.

    Helps: many tasks of which some are related in parts: the learned allocation says which; new tasks are combinations
    of what is there. Fails: two or three tasks, which have nothing to recombine; short runs, in which allocations stay
    near even.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        num_skills: S, how many skills there are.
        rank: r, the width of a skill's matrices.
        temperature: Of the relaxed distribution; lower ones draw numbers nearer to 0 and 1.
        alpha: What they add is multiplied by alpha / r.
        dropout: Probability of zeroing what they read.
        targets: The linear maps, see ``LoRA``.
        freeze_encoder: Whether the encoder's own parameters stay as they are.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        num_skills: int = 4,
        rank: int = 8,
        temperature: float = 1.0,
        alpha: float = 16.0,
        dropout: float = 0.0,
        targets: str | Sequence[str] | None = None,
        freeze_encoder: bool = True,
    ) -> None:
        check_low_rank(alpha, dropout, rank=rank, num_skills=num_skills)
        above_zero("temperature", temperature)

        def adapter(linear: nn.Linear) -> LowRank:
            return Skills(linear, tasks, num_skills, rank, temperature, alpha / rank, dropout)

        super().__init__(tasks, encoder, adapter, targets, freeze_encoder)
        self._num_skills = num_skills

    def allocation(self, task: str) -> Tensor:
        """How much of each skill a task uses at each linear map, 1 in sum [M, S]."""
        return torch.stack([adapter.allocation(task) for adapter in self._skills()])

    def observe(self) -> Observations:
        """The allocations as they are now."""
        use = ExpertUse({f"skill_{i}": self.tasks for i in range(self._num_skills)})
        allocations = [self.allocation(task).detach() for task in self.tasks]
        for task, allocation in zip(self.tasks, allocations, strict=True):
            use.note(task, allocation.mean(0))
        return Observations([use], torch.stack(allocations).flatten(1))

    def _skills(self) -> list["Skills"]:
        return [adapter for adapter in self.adapters.values() if isinstance(adapter, Skills)]


class Skills(LowRank):
    """The skills of one linear map, and how tasks use them."""

    def __init__(
        self,
        linear: nn.Linear,
        tasks: Sequence[str],
        num_skills: int,
        rank: int,
        temperature: float,
        scale: float,
        dropout: float,
    ) -> None:
        super().__init__(dropout)
        self.scale, self.temperature = scale, temperature
        self.downs, self.ups = downs(linear, rank, num_skills), ups(linear, rank, num_skills)
        device = linear.weight.device
        self.logits = TaskParameters(
            {task: torch.empty(num_skills, device=device).uniform_(-1e-3, 1e-3) for task in tasks}
        )

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return [self.logits[task]]

    def allocation(self, task: str) -> Tensor:
        """How much of each skill a task uses, 1 in sum [S]."""
        return _normalised(self.logits[task].sigmoid())

    def factors(self, task: str) -> Factors:
        return self._mean(self.allocation(task))

    def drawn(self, task: str) -> Factors:
        logits: Tensor = self.logits[task]
        noise = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6).logit()
        return self._mean(_normalised(((logits + noise) / self.temperature).sigmoid()))

    def _mean(self, allocation: Tensor) -> Factors:
        return Factors(torch.tensordot(allocation, self.downs, 1), torch.tensordot(allocation, self.ups, 1), self.scale)


def _normalised(weights: Tensor) -> Tensor:
    return weights / weights.sum().clamp(min=1e-12)
