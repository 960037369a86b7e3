"""Which branch follows which: chances that are learned, drawn from in training, and decided by otherwise."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.sharing.tree import Tree


class BranchChoice(nn.Module):
    """Logits of each branch's parent, and of the branch that each task reads; they are alike at the start.

    Args:
        tasks: Names of the K tasks.
        num_stages: n, the stages that branch.
        num_branches: M, the branches of each stage.
        temperature: Of the draws until the choices are learned; then it falls with the root of the number of batches.
        min_temperature: Where it stays.
        warmup: How many training batches come before the choices are learned.

    Attributes:
        between: For each stage but the first, of each branch by its parent [M, M].
        of_tasks: For each task, of the branches of the last stage [M].
        num_batches: How many batches there have been in training, with the present one; a scalar.
    """

    num_batches: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        num_stages: int,
        num_branches: int,
        temperature: float,
        min_temperature: float,
        warmup: int,
    ) -> None:
        super().__init__()
        self._tasks = tuple(tasks)
        self._temperatures = temperature, min_temperature
        self._warmup = warmup
        self.between = nn.ParameterList(torch.zeros(num_branches, num_branches) for _ in range(num_stages - 1))
        self.of_tasks = nn.ParameterList(torch.zeros(num_branches) for _ in tasks)
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))

    @property
    def temperature(self) -> Tensor:
        """Of the draws of the present batch, a scalar."""
        highest, lowest = self._temperatures
        return (highest / (self.num_batches - self._warmup).clamp(min=1).sqrt()).clamp(min=lowest)

    def count(self) -> None:
        """Begins a batch."""
        self.num_batches += 1

    def parents(self, stage: int) -> Tensor:
        """Draws the parent of each branch of a stage, counted from the second: one-hot rows [M, M]."""
        return self._draw(self.between[stage])

    def leaf(self, task: str) -> Tensor:
        """Draws what a task reads: a one-hot row [1, M]."""
        return self._draw(self.logits(task)).unsqueeze(0)

    def logits(self, task: str) -> nn.Parameter:
        """What decides on the branch that a task reads [M]."""
        found: nn.Parameter = self.of_tasks[self._tasks.index(task)]
        return found

    def _draw(self, logits: Tensor) -> Tensor:
        """The largest of the noisy logits, with the gradient of their softmax: Gumbel-softmax, straight through."""
        learned = logits * (self.num_batches > self._warmup)
        noise = -torch.empty_like(logits).exponential_().log()
        soft = ((learned + noise) / self.temperature.to(logits)).softmax(-1)
        hard = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
        return hard + (soft - soft.detach())

    @torch.no_grad()
    def chances(self, task: str) -> list[Tensor]:
        """How likely a task's path leads through each branch, by stage [n of M]; they add up to 1."""
        found = [self.logits(task).softmax(-1)]
        for logits in reversed(self.between):
            found.append(found[-1] @ logits.softmax(-1))
        return found[::-1]

    def tree(self) -> Tree:
        """The likeliest parent of each branch, and branch of each task; the first of several."""
        parents = [logits.argmax(1).tolist() for logits in self.between]
        leaves = [int(logits.argmax()) for logits in self.of_tasks]
        return Tree(parents, dict(zip(self._tasks, leaves, strict=True)))
