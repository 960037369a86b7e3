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
from experiments.benchmark.workloads import Batches, Perceptron, Transformer, Workload, one_input, several_inputs
from mtl_lightning import MultiTaskModule, sharing
from mtl_lightning.sharing import HardSharing, LoRA, MMoE, Sharing, TopKRouting
from mtl_lightning.training.joint_pass import apart, together
from mtl_lightning.weighting import EqualWeighting

MakeSharing = Callable[..., Sharing]
NUM_BATCHES = 8


class Training:
    """The package's step without Lightning: the sharing, heads, the executor and the optimizer.

    Args:
        workload: What to train.
        batches: Step batches, gone through again and again.
        make: Makes what stands between inputs and heads.
        joint: Whether data sets go through the encoder together.
    """

    period = 1

    def __init__(self, workload: Workload, batches: Batches, make: MakeSharing, joint: bool = False) -> None:
        encoder, tasks = workload.model()
        self.module = MultiTaskModule(encoder, tasks, EqualWeighting, make)
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
        measures_memory: Whether their peaks are measured, each in a process of its own.
    """

    workload: Workload
    effort: Effort
    contestants: Mapping[str, MakeLoop]
    targets: Mapping[str, float]
    measures_memory: bool = True

    def quick(self) -> "Sharings":
        """The same with almost nothing to do."""
        return replace(self, workload=self.workload.small(), effort=Effort(2, 1, 1), measures_memory=False)

    def shortened(self, rounds: int) -> "Sharings":
        """The same with another number of rounds."""
        return replace(self, effort=replace(self.effort, rounds=rounds))

    def peaks(self, threads: int) -> Mapping[str, int]:
        """Peak memory of each contestant."""
        if not self.measures_memory:
            return {}
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
            row(
                self.workload.name,
                name,
                number,
                ratio,
                self.targets.get(name),
                peaks[name] / peaks[first] if peaks else None,
            )
            for name, ratio in ratios.items()
        ]


def training(make: MakeSharing = HardSharing, joint: bool = False, **options: Any) -> MakeLoop:
    """Trains with a sharing."""
    return partial(Training, make=partial(make, **options), joint=joint)


def inference(make: MakeSharing = HardSharing, **options: Any) -> MakeLoop:
    """Asks a model with a sharing."""
    return partial(Inference, make=partial(make, **options))


def one_for_all(make: MakeSharing) -> MakeSharing:
    """A sharing that takes all tasks for one: what a model of one task costs on the batches of several."""

    class One(HardSharing):
        def __init__(self, tasks: Sequence[str], encoder: Any) -> None:
            super().__init__(tasks, encoder)
            self.one = make(["all"], encoder)
            self.features = self.one.features

        def encode(self, inputs: Any) -> Any:
            return self.one.encode(inputs)

        def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Any]:
            return dict.fromkeys(tasks, self.one.share(encoded, ["all"])["all"])

    return One


def _train(workload: Workload, batches: Batches, make: MakeLoop) -> None:
    make(workload, batches).train(len(batches))


_WORDS = Transformer(length=32)
_FEATURES = Perceptron((64, 256))
_WIDTHS = {"expert_widths": (512, 512)}


def exported() -> dict[str, type[Sharing]]:
    """The classes that can be named in a config, hard sharing first."""
    found = {name: getattr(sharing, name) for name in sharing.__all__}
    classes = {n: c for n, c in found.items() if isinstance(c, type) and issubclass(c, Sharing) and c is not Sharing}
    return {"HardSharing": HardSharing, **classes}


SHARINGS = (
    Sharings(
        Workload("sharing", {"sentences": ("intent", "topic", "tags_a", "tags_b")}, batch_size=32),
        Effort(7, 1),
        {name: training(cls) for name, cls in exported().items()},
        {"MMoE": 1.25},
    ),
    Sharings(
        several_inputs("sharing: four data sets, a LoRA for each", 4, 8, _WORDS),
        Effort(13, 2),
        {"one LoRA for all": training(one_for_all(LoRA)), "four LoRAs": training(LoRA)},
        {"four LoRAs": 1.3},
    ),
    Sharings(
        several_inputs("sharing: four data sets in one pass of the encoder", 4, 8, _WORDS),
        Effort(13, 2),
        {"four passes": training(), "one pass": training(joint=True)},
        {"one pass": 0.9},
    ),
    *(
        Sharings(
            one_input(f"sharing: top 1 of 8 {what}, {when}", 1, size, model),
            Effort(13, 3),
            {
                "one expert": way(MMoE, num_experts=1, **options),
                "top 1 of 8": way(TopKRouting, num_experts=8, **options),
            },
            {"top 1 of 8": 1.3},
        )
        for when, way in (("in training", training), ("at inference", inference))
        for what, size, model, options in (
            ("perceptrons", 2048, _FEATURES, _WIDTHS),
            ("copies of a layer", 32, Transformer(), {"expert_stages": 1}),
        )
    ),
)
"""What ``make benchmark`` measures of sharings."""
