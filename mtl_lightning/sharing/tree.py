"""Which branch of each stage each task goes through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtl_lightning.errors import UserError

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


def saved_tree(saved: Any, tasks: Sequence[str], sizes: Sequence[int]) -> Tree:
    """The tree of a pruned model, from a checkpoint.

    Args:
        saved: What the file says; anybody may have written it.
        tasks: Names of the K tasks.
        sizes: How many branches each stage has here, at most.

    Raises:
        UserError: If it is no tree, or one of other tasks, of other stages or of more branches.
    """
    try:
        found = dict(saved)
        tree = Tree([list(parents) for parents in found["parents"]], dict(found["leaves"]))
        whole = tree.pruned() == tree
    except (IndexError, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise UserError("model.sharing: the checkpoint's tree of branches is broken; take another checkpoint")
    if tree.leaves.keys() != set(tasks):
        there, here = (", ".join(sorted(map(str, names))) for names in (tree.leaves, tasks))
        raise UserError(
            f"model.sharing: the checkpoint's tree is of the tasks {there}, this model's of {here}; set `model.tasks` "
            "as they were"
        )
    numbers = [len(branches) for branches in tree.used(tasks)]
    if len(numbers) != len(sizes):
        raise UserError(
            f"model.sharing: the checkpoint's tree has {len(numbers)} stages that branch, this model {len(sizes)}; set "
            "`shared_stages` and the encoder as they were"
        )
    for number, size in zip(numbers, sizes, strict=True):
        if number > size:
            raise UserError(
                f"model.sharing: the checkpoint's tree has {number} branches in a stage, this model {size}; set "
                "`num_branches` as it was"
            )
    return tree
