"""What is measured in one process: workloads, who trains on them, and what their ratios may be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeAlias

from experiments.benchmark.contestants import (
    BARE_LOOP,
    BASELINES,
    EQUAL,
    GRAMIAN_METHODS,
    IN_LIGHTNING,
    MANY_TASKS,
    OF_FEATURES,
    OPTIONS,
    REFRESHED,
    TORCHJD,
    MakeLoop,
    train_in_lightning,
    train_plainly,
)
from experiments.benchmark.measure import Effort, peak_memory, time_ratio_in_lightning, time_ratios
from experiments.benchmark.rows import Row, row
from experiments.benchmark.sharings import SHARINGS
from experiments.benchmark.workloads import Perceptron, Transformer, Workload, one_input, several_inputs

QUICK = Effort(rounds=2, steps=1, memory_steps=1)

_NUM_BATCHES = 8
_MIXED = ("intent", "topic", "tags_a", "tags_b")

Peaks: TypeAlias = Mapping[str, int]


class Section(Protocol):
    """A workload, and who trains on it."""

    @property
    def workload(self) -> Workload:
        """What is trained."""

    def quick(self) -> "Section":
        """The same with almost nothing to do."""

    def shortened(self, rounds: int) -> "Section":
        """The same with another number of rounds."""

    def peaks(self, threads: int) -> Peaks:
        """Peak memory of each contestant; empty where it is not of interest."""

    def rows(self, peaks: Peaks) -> list[Row]:
        """Measures time."""


@dataclass(frozen=True)
class InLightning:
    """The step in Lightning, beside the bare loop.

    Attributes:
        workload: What they train.
        effort: How long each is measured.
        contestants: Keys of ``IN_LIGHTNING``.
        target: What their ratios of time may be.
    """

    workload: Workload
    effort: Effort
    contestants: Sequence[str]
    target: float = 1.1

    def quick(self) -> "InLightning":
        """The same with almost nothing to do."""
        return replace(self, workload=self.workload.small(), effort=QUICK)

    def shortened(self, rounds: int) -> "InLightning":
        """The same with another number of rounds."""
        return replace(self, effort=replace(self.effort, rounds=rounds))

    def peaks(self, threads: int) -> Peaks:
        """Peak memory of each contestant."""
        trains = {name: partial(train_in_lightning, contestant=name) for name in self.contestants}
        bare = partial(train_plainly, make=BASELINES[BARE_LOOP])
        return {
            name: peak_memory(train, self.workload, self.effort, threads)
            for name, train in {BARE_LOOP: bare, **trains}.items()
        }

    def rows(self, peaks: Peaks) -> list[Row]:
        """Measures time."""
        workload = self.workload
        ratios = {BARE_LOOP: 1.0}
        ratios |= {name: time_ratio_in_lightning(workload, name, self.effort) for name in self.contestants}
        return [
            row(
                workload.name,
                name,
                len(workload.tasks),
                ratio,
                None if name == BARE_LOOP else self.target,
                peaks[name] / peaks[BARE_LOOP],
            )
            for name, ratio in ratios.items()
        ]


@dataclass(frozen=True)
class InPlainLoops:
    """The executor's step, beside equal weighting's.

    Attributes:
        workload: What they train.
        effort: How long each is measured.
        contestants: The loops by name, the baseline first.
        targets: What their ratios of time may be.
        memory_targets: What their ratios of memory may be; empty: memory is not measured.
    """

    workload: Workload
    effort: Effort
    contestants: Mapping[str, MakeLoop]
    targets: Mapping[str, float]
    memory_targets: Mapping[str, float] = field(default_factory=dict)

    def quick(self) -> "InPlainLoops":
        """The same with almost nothing to do."""
        return replace(self, workload=self.workload.small(), effort=QUICK)

    def shortened(self, rounds: int) -> "InPlainLoops":
        """The same with another number of rounds."""
        return replace(self, effort=replace(self.effort, rounds=rounds))

    def peaks(self, threads: int) -> Peaks:
        """Peak memory of each contestant."""
        if not self.memory_targets:
            return {}
        return {
            name: peak_memory(partial(train_plainly, make=make), self.workload, self.effort, threads)
            for name, make in self.contestants.items()
        }

    def rows(self, peaks: Peaks) -> list[Row]:
        """Measures time."""
        workload, batches = self.workload, self.workload.batches(_NUM_BATCHES)
        loops = {name: make(workload, batches) for name, make in self.contestants.items()}
        first = next(iter(loops))
        ratios = {first: 1.0, **time_ratios(loops.pop(first), loops, self.effort)}
        return [
            row(
                workload.name,
                name,
                len(workload.tasks),
                ratio,
                self.targets.get(name),
                peaks[name] / peaks[first] if peaks else None,
                self.memory_targets.get(name),
            )
            for name, ratio in ratios.items()
        ]


SECTIONS: tuple[Section, ...] = (
    InLightning(
        Workload("one data set", {"sentences": ("intent", "tags")}, batch_size=32, dropout=0.1),
        Effort(9, 6),
        ["EqualWeighting"],
    ),
    InLightning(
        replace(several_inputs("several data sets", 4, 8, Transformer()), dropout=0.1), Effort(9, 6), list(IN_LIGHTNING)
    ),
    InPlainLoops(
        several_inputs("plain loop, several inputs of 8", 4, 8, Transformer()),
        Effort(15, 1),
        {**BASELINES, **GRAMIAN_METHODS, **TORCHJD},
        targets=dict.fromkeys(GRAMIAN_METHODS, 1.1),
        memory_targets=dict.fromkeys(GRAMIAN_METHODS, 1.0),
    ),
    InPlainLoops(
        Workload("plain loop, one input of 32", {"sentences": _MIXED}, batch_size=32),
        Effort(15, 1),
        {**BASELINES, **GRAMIAN_METHODS, **OPTIONS, **TORCHJD},
        targets={**dict.fromkeys(GRAMIAN_METHODS, 3.1), REFRESHED: 1.3, OF_FEATURES: 1.05},
    ),
    *(
        InPlainLoops(
            one_input(
                f"perceptron 64-256-256, one input of 128, {tasks} tasks", tasks, 128, Perceptron((64, 256, 256))
            ),
            Effort(13, 80 // tasks),
            {**BASELINES, **GRAMIAN_METHODS, **TORCHJD},
            targets=dict.fromkeys(GRAMIAN_METHODS, target),
        )
        for tasks, target in ((8, 2.7), (32, 3.6))
    ),
    *(
        InPlainLoops(workload, Effort(13, 5), MANY_TASKS, targets=dict.fromkeys((EQUAL, "RLW", "GLS"), 1.1))
        for workload in (
            one_input("perceptron 16-64-64, one input of 32, 32 tasks", 32, 32, Perceptron((16, 64, 64))),
            several_inputs("perceptron 16-64-64, 32 inputs of 32", 32, 32, Perceptron((16, 64, 64))),
        )
    ),
    *SHARINGS,
)
