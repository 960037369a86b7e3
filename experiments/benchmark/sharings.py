"""What a sharing costs in training and at inference, beside hard sharing or what it is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from typing import Any

import torch
from torch.optim import AdamW

from experiments.benchmark.loops import LEARNING_RATE
from experiments.benchmark.measure import Effort, peak_memory, time_ratios
from experiments.benchmark.rows import Row, row
from experiments.benchmark.workloads import Batches, Workload
from mtl_lightning import MultiTaskModule
from mtl_lightning.sharing import HardSharing, Sharing
from mtl_lightning.training.joint_pass import apart, together
from mtl_lightning.weighting import EqualWeighting

MakeSharing = Callable[..., Sharing]
NUM_BATCHES = 8


class Training:
    """The package's step without Lightning: the sharing, heads, the executor and the optimizer.

    Args:
        workload: What to train.
        batches: Step batches, gone through again and again.
        sharing: What stands between inputs and heads.
        joint: Whether data sets go through the encoder together.
    """

    period = 1

    def __init__(self, workload: Workload, batches: Batches, sharing: MakeSharing, joint: bool = False) -> None:
        encoder, tasks = workload.model()
        self.module = MultiTaskModule(encoder, tasks, EqualWeighting, sharing)
        self.module.build()
        self.module.train()
        self.optimizer = AdamW([p for p in self.module.parameters() if p.requires_grad], lr=LEARNING_RATE)
        self.batches = cycle(batches)
        self.joint = joint

    def train(self, steps: int) -> None:
        """Runs optimizer steps."""
        module = self.module
        for _ in range(steps):
            batch = next(self.batches)
            self.optimizer.zero_grad()
            for parts in together(batch, module.encoder) if self.joint else apart(batch):
                found = module.losses(parts)
                module.executor.add(found.losses, found.shares, (), list(found.losses), found.terms)
            module.executor.backward(module.executor.combine().objective)
            self.optimizer.step()


class Inference(Training):
    """The logits of all tasks, without gradients."""

    def train(self, steps: int) -> None:
        self.module.eval()
        with torch.no_grad():
            for _ in range(steps):
                for part in next(self.batches).values():
                    self.module(part.inputs, list(part.targets))


MakeLoop = Callable[[Workload, Batches], Training]


@dataclass(frozen=True)
class Sharings:
    """Some sharings on one workload, beside the first of them.

    Attributes:
        workload: What they train.
        effort: How long each is measured.
        contestants: How each is trained or asked, the baseline first.
        targets: What their ratios of time may be.
    """

    workload: Workload
    effort: Effort
    contestants: Mapping[str, MakeLoop]
    targets: Mapping[str, float]

    def quick(self) -> "Sharings":
        """The same with almost nothing to do."""
        return replace(self, workload=self.workload.small(), effort=Effort(2, 1, 1))

    def shortened(self, rounds: int) -> "Sharings":
        """The same with another number of rounds."""
        return replace(self, effort=replace(self.effort, rounds=rounds))

    def peaks(self, threads: int) -> Mapping[str, int]:
        """Peak memory of each contestant."""
        return {
            name: peak_memory(partial(_train, make=make), self.workload, self.effort, threads)
            for name, make in self.contestants.items()
        }

    def rows(self, peaks: Mapping[str, int]) -> list[Row]:
        """Measures time."""
        batches = self.workload.batches(NUM_BATCHES)
        loops: dict[str, Any] = {name: make(self.workload, batches) for name, make in self.contestants.items()}
        first = next(iter(loops))
        ratios = {first: 1.0, **time_ratios(loops.pop(first), loops, self.effort)}
        number = len(self.workload.tasks)
        return [
            row(self.workload.name, name, number, ratio, self.targets.get(name), peaks[name] / peaks[first])
            for name, ratio in ratios.items()
        ]


def training(sharing: MakeSharing = HardSharing, joint: bool = False, **options: Any) -> MakeLoop:
    """Trains with a sharing."""
    return partial(Training, sharing=partial(sharing, **options), joint=joint)


def inference(sharing: MakeSharing = HardSharing, **options: Any) -> MakeLoop:
    """Asks a model with a sharing."""
    return partial(Inference, sharing=partial(sharing, **options))


def one_for_all(sharing: MakeSharing) -> MakeSharing:
    """A sharing that takes all tasks for one: what a model of one task costs on the batches of several."""

    class One(HardSharing):
        def __init__(self, tasks: Sequence[str], encoder: Any) -> None:
            super().__init__(tasks, encoder)
            self.one = sharing(["all"], encoder)
            self.features = self.one.features

        def encode(self, inputs: Any) -> Any:
            return self.one.encode(inputs)

        def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Any]:
            return dict.fromkeys(tasks, self.one.share(encoded, ["all"])["all"])

    return One


def _train(workload: Workload, batches: Batches, make: MakeLoop) -> None:
    make(workload, batches).train(len(batches))
