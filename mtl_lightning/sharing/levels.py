"""Levels of experts and gates: what all sharings with experts are made of."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation
from mtl_lightning.sharing.expert_kinds import ExpertKind, Experts, Vectors, kind_of
from mtl_lightning.sharing.experts import StageExperts
from mtl_lightning.sharing.gates import SoftmaxGate, mixture
from mtl_lightning.sharing.observing import ExpertUse

Group = str | None
"""Whose experts or gate: the task's of that name; null: those that belong to no task."""

MakeGate = Callable[[int, int], nn.Module]
"""A gate of the width of what it reads and the number of experts."""


class Signal:
    """What runs between levels, with what the gates read of it, made once.

    Args:
        kind: Knows how it is read.
        value: The signal.
    """

    def __init__(self, kind: ExpertKind, value: Any) -> None:
        self.kind = kind
        self.value = value

    @cached_property
    def vectors(self) -> list[Vectors]:
        """See :meth:`mtl_lightning.sharing.expert_kinds.ExpertKind.vectors`."""
        return self.kind.vectors(self.value)


class Level(nn.Module):
    """Experts of each task and of none, and the gates that mix what they make.

    Args:
        kind: What the experts are made of.
        depth: Which level it is, from 0.
        sizes: How many experts each group has.
        reads: For each gate, the groups that it reads, in the order of its weights.
        trains: Those among them that gradients go back to through it.
        make_gate: Makes the gates.
        name: Of the level, where there are several.
    """

    def __init__(
        self,
        kind: ExpertKind,
        depth: int,
        sizes: Mapping[Group, int],
        reads: Mapping[Group, Sequence[Group]],
        trains: Mapping[Group, Collection[Group]],
        make_gate: MakeGate,
        name: str = "",
    ) -> None:
        super().__init__()
        self.kind, self.reads, self.trains = kind, reads, trains
        first = next(iter(sizes))
        made = {group: kind.make(depth, size, group == first) for group, size in sizes.items()}
        gates = {reader: make_gate(kind.width(depth), sum(sizes[g] for g in reads[reader])) for reader in reads}
        self.shared, self.shared_gate = made.pop(None, None), gates.pop(None, None)
        self.own, self.gates = _by_task(made), _by_task(gates)
        self.use = ExpertUse(dict(self._names(sizes)), name)

    def experts(self, group: Group) -> Experts:
        """A group's experts."""
        return self.shared if group is None else self.own[group]  # type: ignore[return-value]

    def gate(self, reader: Group) -> nn.Module:
        """A task's gate, or the one of no task."""
        return self.shared_gate if reader is None else self.gates[reader]  # type: ignore[return-value]

    def forward(self, signals: Mapping[Group, Signal], readers: Collection[Group]) -> dict[Group, Signal]:
        """What the gates of ``readers`` make of the experts that they read; no others are run.

        Args:
            signals: What the experts and the gate of each group read.
            readers: Whose gates are asked for.
        """
        trained = {group for reader in readers for group in self.trains[reader]}
        made: dict[Group, list[Tensor]] = {}
        for group in dict.fromkeys(group for reader in readers for group in self.reads[reader]):
            with torch.set_grad_enabled(torch.is_grad_enabled() and group in trained):
                made[group] = self.kind.run(self.experts(group), signals[group].value)
        return {reader: self._mixed(reader, signals[reader], made) for reader in readers}

    def gate_parameters(self, reader: Group) -> list[nn.Parameter]:
        """All that a gate's weights are made of."""
        return list(self.gate(reader).parameters())

    def weights(self, reader: Group, chosen: Tensor) -> Tensor:
        """The weights of the experts in the mixture [..., E]: by default, what the gate chose.

        Args:
            reader: Whose gate.
            chosen: What it returned [..., E].
        """
        return chosen

    def _mixed(self, reader: Group, signal: Signal, made: Mapping[Group, Sequence[Tensor]]) -> Signal:
        mixed = []
        for position, (vectors, mask) in enumerate(signal.vectors):
            chosen = self.gate(reader)(vectors, mask)
            if reader is not None and position == 0:
                self.use.note(reader, chosen, mask)
            outputs = [
                made[group][position] if group in self.trains[reader] else made[group][position].detach()
                for group in self.reads[reader]
            ]
            mixed.append(mixture(self.weights(reader, chosen), outputs))
        return Signal(self.kind, self.kind.replaced(signal.value, mixed))

    def _names(self, sizes: Mapping[Group, int]) -> Iterator[tuple[str, list[str]]]:
        """Each expert by a name, with the tasks whose gates read it."""
        for group, size in sizes.items():
            tasks = [reader for reader, groups in self.reads.items() if reader is not None and group in groups]
            for i in range(size):  # no task's name has a hyphen
                yield f"shared_{i}" if group is None else f"{group}-{i}", tasks


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
        if num_levels < 1:
            raise UserError(f"model.sharing: `num_levels` must be at least 1, found {num_levels}")
        self.kind = kind_of(encoder, expert_widths, expert_stages, num_levels)
        self.features = self.kind.features
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
            self.level(self.kind, depth, sizes, {**reads, **more}, {**trains, **more}, make_gate, names[depth])
            for depth, more in enumerate([shared_gate] * (num_levels - 1) + [{}])
        )
        self._readers = self._served([level.reads for level in self.levels])

    @property
    def levels(self) -> list[Level]:
        """The levels, in order."""
        return list(self.experts)  # type: ignore[arg-type]

    def encode(self, inputs: Inputs) -> Any:
        return self.kind.encode(inputs)

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        signals: dict[Group, Signal] = dict.fromkeys((None, *self.tasks), Signal(self.kind, encoded))
        for level, served in zip(self.levels, self._readers, strict=True):
            signals = level(signals, [reader for reader in level.reads if served[reader] & set(tasks)])
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
        for level, served in zip(self.levels, self._served([level.trains for level in self.levels]), strict=True):
            for reader, groups in level.trains.items():
                experts = [parameter for group in groups for parameter in level.experts(group).trained()]
                for parameter in [*level.gate_parameters(reader), *experts]:
                    found.setdefault(parameter, set()).update(served[reader])
        return found

    def copies(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        return [pair for module in self.modules() if isinstance(module, StageExperts) for pair in module.copies()]

    def compiled_parts(self) -> Sequence[Compilable]:
        return [*self.kind.compiled_parts(), *(stage for copy, _ in self.copies() for stage in copy.children())]


def _by_task(modules: Mapping[Group, nn.Module]) -> nn.ModuleDict:
    return nn.ModuleDict({task: module for task, module in modules.items() if task is not None})
