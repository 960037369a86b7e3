"""A level of experts and the gates that mix what they make."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtl_lightning.sharing.expert_kinds import ExpertKind, Experts, Vectors
from mtl_lightning.sharing.gates import mixture
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


class Plan(NamedTuple):
    """Which experts a level has, and who reads them.

    Attributes:
        sizes: How many experts each group has.
        reads: For each gate, the groups that it reads, in the order of its weights.
        trains: Those among them that gradients go back to through it.
    """

    sizes: Mapping[Group, int]
    reads: Mapping[Group, Sequence[Group]]
    trains: Mapping[Group, Collection[Group]]


class Level(nn.Module):
    """Experts of each task and of none, and the gates that mix what they make.

    Args:
        kind: What the experts are made of.
        depth: Which level it is, from 0.
        plan: Which experts it has, and who reads them.
        make_gate: Makes the gates.
        name: Of the level, where there are several.
    """

    def __init__(self, kind: ExpertKind, depth: int, plan: Plan, make_gate: MakeGate, name: str = "") -> None:
        super().__init__()
        self.kind, self.plan = kind, plan
        first = next(iter(plan.sizes))
        made = {group: kind.make(depth, size, group == first) for group, size in plan.sizes.items()}
        gates = {r: make_gate(kind.width(depth), sum(plan.sizes[g] for g in read)) for r, read in plan.reads.items()}
        self.shared, self.shared_gate = made.pop(None, None), gates.pop(None, None)
        self.own, self.gates = _by_task(made), _by_task(gates)
        own = [_name(group, i) for group, size in plan.sizes.items() if group for i in range(size)]
        self.use = ExpertUse(dict(_names(plan)), name, own)

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
        trained = {group for reader in readers for group in self.plan.trains[reader]}
        made: dict[Group, list[Tensor]] = {}
        for group in dict.fromkeys(group for reader in readers for group in self.plan.reads[reader]):
            with torch.set_grad_enabled(torch.is_grad_enabled() and group in trained):
                made[group] = self.kind.run(self.experts(group), signals[group].value)
        runs = _Runs(made, self.plan)
        return {reader: self._mixed(reader, signals[reader], runs) for reader in readers}

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

    def _mixed(self, reader: Group, signal: Signal, runs: "_Runs") -> Signal:
        mixed = []
        for position, (vectors, mask) in enumerate(signal.vectors):
            chosen = self.gate(reader)(vectors, mask)
            if reader is not None and position == 0:
                self.use.note(reader, chosen, mask)
            mixed.append(mixture(self.weights(reader, chosen), runs.read_by(reader, position, chosen.dim() - 1)))
        return Signal(self.kind, self.kind.replaced(signal.value, mixed))


class _Runs:
    """What groups of experts made, in as few tensors as there can be without a copy for each reader.

    Args:
        made: What each group made, one tensor for each that its signal has.
        plan: Who reads them.
    """

    def __init__(self, made: Mapping[Group, Sequence[Tensor]], plan: Plan) -> None:
        self.made, self.plan = made, plan
        self.joined: dict[Any, Tensor] = {}

    def read_by(self, reader: Group, position: int, dim: int) -> list[Tensor]:
        """What a reader's groups made, in their order; detached where it does not train them.

        Args:
            reader: Whose gate.
            position: Which of the tensors.
            dim: Their dimension of experts.
        """
        found: list[Tensor] = []
        for trained, run in groupby(self.plan.reads[reader], self.plan.trains[reader].__contains__):
            groups = tuple(run)
            outputs = [self.made[group][position] for group in groups]
            outputs = outputs if trained else [output.detach() for output in outputs]
            if len(groups) > 2:
                key = groups, trained, position
                if key not in self.joined:
                    self.joined[key] = torch.cat(outputs, dim)
                outputs = [self.joined[key]]
            found += outputs
        return found


def _names(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """Each expert by a name, with the tasks whose gates read it."""
    for group, size in plan.sizes.items():
        tasks = [reader for reader, groups in plan.reads.items() if reader is not None and group in groups]
        for i in range(size):
            yield _name(group, i), tasks


def _name(group: Group, number: int) -> str:
    return f"shared_{number}" if group is None else f"{group}-{number}"  # no task's name has a hyphen


def _by_task(modules: Mapping[Group, nn.Module]) -> nn.ModuleDict:
    return nn.ModuleDict({task: module for task, module in modules.items() if task is not None})
