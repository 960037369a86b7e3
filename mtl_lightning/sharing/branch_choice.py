"""Which branch follows which: chances that are learned, drawn from in training, and decided by otherwise."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.sharing.tree import Tree


class BranchChoice(nn.Module):
    """Logits of each branch's parent, and of the branch that each task reads; they are alike at the start.

    Chances are the softmax of logits / temperature: nearly even at first, whatever small differences the logits have,
    and nearly sure in the end, however little the logits have moved.

    Args:
        tasks: Names of the K tasks.
        num_stages: n, the stages that branch.
        num_branches: M, the branches of each stage.
        temperature: Of the chances when learning begins; then it falls with the root of the number of batches.
        min_temperature: Where it stays.
        warmup: How many training batches are drawn evenly before the choices are learned.

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
        """Of the chances in the present batch, a scalar."""
        highest, lowest = self._temperatures
        return (highest / (self.num_batches - self._warmup).clamp(min=1).sqrt()).clamp(min=lowest)

    def count(self) -> None:
        """Begins a batch."""
        self.num_batches += 1

    def parents(self, stage: int, number: int) -> Tensor:
        """Draws the parent of each branch of a stage, for each example: one-hot rows [B, M, M].

        Args:
            stage: Counted from the second.
            number: B, of examples.
        """
        return _drawn(self._chances(self.between[stage]), number)

    def leaf(self, task: str, number: int) -> Tensor:
        """Draws what a task reads, for each example: one-hot rows [B, 1, M].

        Args:
            task: Its name.
            number: B, of examples.
        """
        return _drawn(self._chances(self.logits(task)).unsqueeze(0), number)

    def logits(self, task: str) -> nn.Parameter:
        """What decides on the branch that a task reads [M]."""
        found: nn.Parameter = self.of_tasks[self._tasks.index(task)]
        return found

    def _chances(self, logits: Tensor) -> Tensor:
        learned = logits * (self.num_batches > self._warmup)
        return (learned / self.temperature.to(logits)).softmax(-1)

    @torch.no_grad()
    def chances(self, task: str) -> list[Tensor]:
        """How likely a task's path leads through each branch, by stage [n of M]; they add up to 1."""
        found = [self._chances(self.logits(task))]
        for logits in reversed(self.between):
            found.append(found[-1] @ self._chances(logits))
        return found[::-1]

    def tree(self) -> Tree:
        """The likeliest parent of each branch, and branch of each task; the first of several."""
        parents = [logits.argmax(1).tolist() for logits in self.between]
        leaves = [int(logits.argmax()) for logits in self.of_tasks]
        return Tree(parents, dict(zip(self._tasks, leaves, strict=True)))


def _drawn(chances: Tensor, number: int) -> Tensor:
    """One-hot rows [B, N, M] that are drawn by chances [N, M], with the chances' gradient: straight through.

    Of exponential clocks that run at the rates of the chances, each comes first as often as these say.
    """
    clocks = chances.new_empty(number, *chances.shape).exponential_()
    first = (chances.detach() / clocks).argmax(-1, keepdim=True)
    drawn = torch.zeros_like(clocks).scatter_(-1, first, 1.0)
    return drawn + (chances - chances.detach())
