"""Levels of experts in which each task has a gate: what all sharings with experts are made of."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import nn

from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation
from mtl_lightning.sharing.expert_kinds import kind_of
from mtl_lightning.sharing.experts import StageExperts
from mtl_lightning.sharing.gates import SoftmaxGate
from mtl_lightning.sharing.levels import Group, Level, MakeGate, Plan, Signal


class ExpertSharing(Sharing):
    """Levels of experts, in which each task has a gate.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        num_experts: Number of experts of no task, at each level.
        num_own_experts: Number of experts of each task, at each level.
        expert_widths: Widths of the layers of perceptrons on the features; null: one as wide as they are.
        expert_stages: How many of the encoder's last stages are copied instead; null: experts are perceptrons.
        num_levels: Number of levels.
        reads_others: Whether a task's gate reads the experts of other tasks too.
        stop_gradient: Whether gradients stop on the way to those.
        make_gate: Makes a gate of the width of what it reads and the number of experts.
    """

    level: type[Level] = Level

    @abstractmethod  # a base, which no configuration names
    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        num_experts: int,
        num_own_experts: int,
        expert_widths: Sequence[int] | None,
        expert_stages: int | None,
        num_levels: int = 1,
        reads_others: bool = False,
        stop_gradient: bool = False,
        make_gate: MakeGate = SoftmaxGate,
    ) -> None:
        super().__init__(tasks, encoder)
        at_least(1, "num_levels", num_levels)
        self.kind = kind_of(encoder, expert_widths, expert_stages, num_levels)
        self.features, self.carries_maps = self.kind.features, self.kind.carries_maps
        every: dict[Group, int] = {None: num_experts, **dict.fromkeys(self.tasks, num_own_experts)}
        sizes = {group: size for group, size in every.items() if size}
        others = sizes if reads_others else ()
        reads: dict[Group, list[Group]] = {
            task: [g for g in sizes if g in (None, task) or g in others] for task in self.tasks
        }
        trains = {task: [g for g in reads[task] if g in (None, task) or not stop_gradient] for task in reads}
        shared_gate: dict[Group, list[Group]] = {None: list(sizes)} if None in sizes else {}
        names = [f"level_{depth}" for depth in range(num_levels)] if num_levels > 1 else [""]
        self.experts = nn.ModuleList(
            self.level(self.kind, depth, Plan(sizes, reads | more, trains | more), make_gate, names[depth])
            for depth, more in enumerate([shared_gate] * (num_levels - 1) + [{}])
        )
        self._readers = self._served([level.plan.reads for level in self.levels])

    @property
    def levels(self) -> list[Level]:
        """The levels, in order."""
        return list(self.experts)  # type: ignore[arg-type]

    def encode(self, inputs: Inputs) -> Any:
        return self.kind.encode(inputs)

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        signals: dict[Group, Signal] = dict.fromkeys((None, *self.tasks), Signal(self.kind, encoded))
        for level, served in zip(self.levels, self._readers, strict=True):
            signals = level(signals, [reader for reader in level.plan.reads if served[reader] & set(tasks)])
        return {task: self.kind.end(signals[task].value) for task in tasks}

    def _served(self, reads: Sequence[Mapping[Group, Collection[Group]]]) -> list[dict[Group, set[str]]]:
        """For each level and gate, the tasks that read what it makes.

        Args:
            reads: For each level and gate, the groups of experts that it reads.
        """
        served: list[dict[Group, set[str]]] = [{task: {task} for task in self.tasks}]
        for groups in reads[:0:-1]:
            after = served[0]
            served.insert(0, {})
            for group in (None, *self.tasks):
                experts = {task for reader in groups if group in groups[reader] for task in after[reader]}
                served[0][group] = experts | after.get(group, set())
        return served

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        common = {id(parameter) for parameter in self.kind.common_parameters()}
        return [p for p, tasks in self._trained_by().items() if tasks == {task} and id(p) not in common]

    def _trained_by(self) -> dict[nn.Parameter, set[str]]:
        """The tasks that train each parameter of experts and gates, through them; some may be the encoder's."""
        found: dict[nn.Parameter, set[str]] = {}
        for level, served in zip(self.levels, self._served([level.plan.trains for level in self.levels]), strict=True):
            for reader, groups in level.plan.trains.items():
                experts = [parameter for group in groups for parameter in level.experts(group).trained()]
                for parameter in [*level.gate_parameters(reader), *experts]:
                    found.setdefault(parameter, set()).update(served[reader])
        return found

    def copies(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        return [pair for module in self.modules() if isinstance(module, StageExperts) for pair in module.copies()]

    def compiled_parts(self) -> Sequence[Compilable]:
        return [*self.kind.compiled_parts(), *(stage for copy, _ in self.copies() for stage in copy.children())]
