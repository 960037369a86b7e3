"""Hybrid sharing: the first stages are shared, the rest is each task's, or each group's, own."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.branches import Branch, Pair, Trunk, branches
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation
from mtl_lightning.sharing.groups import Groups, groups_of
from mtl_lightning.sharing.observing import Part
from mtl_lightning.sharing.stages import behind, stages_before


class HybridSharing(Sharing):
    r"""The first n stages of the encoder are shared; each group of tasks has those behind for itself.

    With :math:`f_1` the encoder's beginning and first n stages and :math:`f_2` the rest, task t of group g reads
    :math:`f_2(f_1(x); \theta_g)`. All groups start from the encoder's parameters; the first one trains them.

    Cost: G groups add G - 1 copies of the stages behind the n-th, in parameters and FLOPs; the first n are run once.
    With n = all it is hard sharing, with n = 0 an encoder for each group.

    Reference: Yosinski et al., "How transferable are features in deep neural networks?" (NeurIPS 2014), section 2,
    where the first n layers are kept for a second task; groups as in Standley et al., "Which Tasks Should Be Learned
    Together in Multi-task Learning?" (ICML 2020). Difference: all tasks are trained at once, from the same start.

    Helps: where tasks agree on low-level features alone, or fall into groups that are known. Fails: where they are not:
    the point of the split is a guess, and few labels must train more parameters.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's; unless nothing is shared, one that is cut into stages.
        shared_stages: n, the number of stages that all tasks share, with what comes before them (input embeddings); 0:
            nothing is shared, not even that. A negative number says how many they do not share: -2 for all but the
            last 2.
        groups: Which tasks have the other stages in common, ``[[a, b], [c]]``; null: none.

    Attributes:
        groups: The names of the tasks that have the same branch, in the order of the branches.

    Raises:
        UserError: If the encoder has fewer stages, or the groups miss a task or have one twice.
    """

    def __init__(
        self, tasks: Sequence[str], encoder: Encoder, shared_stages: int = -1, groups: Groups | None = None
    ) -> None:
        super().__init__(tasks, encoder)
        start = stages_before("shared_stages", shared_stages, encoder)
        apart = groups_of("groups", groups, tasks)
        self.groups = apart if start == 0 or encoder.stages[start:] else [tuple(tasks)]
        self.trunk = Trunk(encoder, start)
        self.branches = branches(encoder, start, len(self.groups))

    def encode(self, inputs: Inputs) -> Any:
        """The state behind the shared stages; the inputs where there are none."""
        return self.trunk(inputs)

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        found: dict[str, Representation] = {}
        for group, branch in self._branches():
            if wanted := [task for task in tasks if task in group]:
                found |= dict.fromkeys(wanted, branch(encoded))
        return {task: found[task] for task in tasks}

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return [parameter for group, branch in self._branches() if group == (task,) for parameter in self._of(branch)]

    def parts(self) -> Sequence[Part]:
        """The shared stages, and each group's."""
        found = [Part(f"stages of {' + '.join(group)}", self._of(branch), group) for group, branch in self._branches()]
        placed = {id(parameter) for part in found for parameter in part.parameters}
        trunk = [parameter for parameter in self.encoder.parameters() if id(parameter) not in placed]
        return [part for part in (Part("encoder", trunk, self.tasks), *found) if part.parameters]

    def merge(self, task: str) -> Encoder:
        self._refuse_unknown(task)
        (branch,) = (branch for group, branch in self._branches() if task in group)
        return branch.merged()

    def copies(self) -> Sequence[Pair]:
        return [pair for _, branch in self._branches() for pair in branch.copies()]

    def compiled_parts(self) -> Sequence[Compilable]:
        return [self.trunk, *self.branches]

    def _branches(self) -> list[tuple[tuple[str, ...], Branch]]:
        """The branch of each group."""
        return list(zip(self.groups, self.branches, strict=True))  # type: ignore[arg-type]

    def _of(self, branch: Branch) -> list[nn.Parameter]:
        """What a branch runs and the trunk does not."""
        return behind(self.trunk.stages, branch.part)
