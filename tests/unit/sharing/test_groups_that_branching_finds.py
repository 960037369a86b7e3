"""Learned branching finds which tasks belong together."""

from functools import cached_property
from itertools import combinations

import torch
from torch import nn

from mtl_lightning.encoders import PerceptronEncoder, Stage
from mtl_lightning.sharing import LearnedBranching


class Line(PerceptronEncoder):
    """One number, linear in six: all that one group of tasks needs, and half of what two need."""

    def __init__(self) -> None:
        super().__init__(6, [1])

    @cached_property
    def stages(self) -> list[nn.Module]:
        return [Stage(self.layers[0])]


def agreement(seed: int, num_steps: int = 200) -> float:
    """Share of pairs of tasks that are rightly together or apart at the end."""
    torch.manual_seed(seed)
    tasks = ["a1", "b1", "a2", "b2", "a3", "b3"]
    encoder = Line()
    sharing = LearnedBranching(tasks, encoder, num_branches=2)
    heads = nn.ModuleDict({task: nn.Linear(1, 1) for task in tasks})
    parameters = [*encoder.parameters(), *sharing.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.03, fused=True)
    signs = {"1": 1.0, "2": -1.0, "3": 2.0}
    directions = dict(zip("ab", torch.linalg.qr(torch.randn(6, 6))[0], strict=False))
    for _ in range(num_steps):
        features = torch.randn(32, 6)
        found = sharing({"features": features}, tasks)
        targets = {task: features @ directions[task[0]] * signs[task[1]] for task in tasks}
        losses = [(heads[task](found[task].pooled)[:, 0] - targets[task]).square().mean() for task in tasks]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    (last,) = sharing.groups()
    pairs = list(combinations(tasks, 2))
    return sum(any({s, t} <= set(group) for group in last) == (s[0] == t[0]) for s, t in pairs) / len(pairs)


def test_it_finds_two_unrelated_groups_of_tasks() -> None:
    assert sum(agreement(seed) for seed in range(2)) / 2 >= 0.95
