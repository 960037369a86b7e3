"""Which branch of each stage each task goes through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Groups = list[list[tuple[str, ...]]]
"""For each stage, the tasks that share a branch of it."""


@dataclass(frozen=True)
class Tree:
    """The branches of a number of stages, and who follows whom.

    Attributes:
        parents: For each stage but the first, the parent of each of its branches: a branch of the stage before.
        leaves: The branch of the last stage that each task reads.
    """

    parents: Sequence[Sequence[int]]
    leaves: Mapping[str, int]

    def path(self, task: str) -> list[int]:
        """The branch of each stage that a task goes through, from the first to the last."""
        found = [self.leaves[task]]
        for parents in reversed(self.parents):
            found.append(parents[found[-1]])
        return found[::-1]

    def used(self, tasks: Sequence[str]) -> list[list[int]]:
        """For each stage, the branches that some tasks go through, in order."""
        paths = [self.path(task) for task in tasks]
        return [sorted({path[stage] for path in paths}) for stage in range(len(self.parents) + 1)]

    def groups(self) -> Groups:
        """For each stage, the tasks of each branch that is used.

        >>> Tree([[0, 0, 1]], {"a": 0, "b": 1, "c": 0}).groups()
        [[('a', 'b', 'c')], [('a', 'c'), ('b',)]]
        """
        paths = {task: self.path(task) for task in self.leaves}
        return [
            [tuple(task for task in paths if paths[task][stage] == branch) for branch in branches]
            for stage, branches in enumerate(self.used(list(paths)))
        ]

    def pruned(self) -> "Tree":
        """The same without the branches that are not used.

        >>> Tree([[1, 1, 0]], {"a": 0, "b": 1}).pruned()
        Tree(parents=[[0, 0]], leaves={'a': 0, 'b': 1})
        """
        used = self.used(list(self.leaves))
        parents = [
            [before.index(parents[branch]) for branch in branches]
            for before, branches, parents in zip(used, used[1:], self.parents, strict=False)
        ]
        return Tree(parents, {task: used[-1].index(branch) for task, branch in self.leaves.items()})
