"""Measures every exported weighting on the same four tasks: ``python -m experiments.benchmark.weightings``.

The file that it writes is what the cards of the documentation show.
"""

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypedDict

import torch
from torch.nn.functional import cosine_similarity

from experiments.benchmark.contestants import MakeLoop, train_plainly
from experiments.benchmark.instances import direction, exported, maker
from experiments.benchmark.loops import ExecutorLoop
from experiments.benchmark.measure import Effort, keep_freed_memory, peak_memory, time_ratios
from experiments.benchmark.sections import QUICK
from experiments.benchmark.silence import silence
from experiments.benchmark.workloads import Batches, Transformer, Workload, several_inputs

BASELINE = "EqualWeighting"
OUTPUT = Path("docs/weightings/measured.json")
WORKLOADS = {
    "one_input": Workload("one input", {"sentences": ("intent", "topic", "tags_a", "tags_b")}, batch_size=32),
    "several_inputs": several_inputs("several inputs", 4, 8, Transformer()),
}
"""Four tasks on one batch of 32; and a batch of 8 for each of four tasks."""

_NUM_BATCHES, _NUM_CONFLICTS = 8, 1000
_TASKS, _PARAMETERS = ("a", "b", "c", "d"), 8


class Behaviour(TypedDict):
    """What fresh objects of a weighting do with random gradients of which at least two conflict.

    Attributes:
        conflicts: Number of sets of such gradients.
        increases: Share of them in which a step along its direction increases the loss of a task.
        turns: How far the direction turns when the loss of one task is multiplied by 100: degrees, the median.
    """

    conflicts: int
    increases: float
    turns: float


class Figures(Behaviour):
    """What is measured of a weighting; ratios are to ``EqualWeighting``.

    Attributes:
        time: Of a step, by workload.
        memory: Growth of the peak in training, by workload.
        date: Of the measurement.
        machine: On which.
    """

    time: dict[str, float]
    memory: dict[str, float]
    date: str
    machine: str


class WholeLoop(ExecutorLoop):
    """The executor's loop with all that some weightings need besides: epochs, a validation, parameters, losses after.

    Args:
        workload: What to train.
        batches: Step batches, gone through again and again.
        name: Of the weighting.
    """

    def __init__(self, workload: Workload, batches: Batches, name: str) -> None:
        super().__init__(workload, batches, maker(name))
        weighting = self.executor.setup.weighting
        if own := list(weighting.parameters()):
            self.optimizer.add_param_group({"params": own})
        self.executor.start_epoch(0)
        if weighting.needs_validation:
            self.executor.finish_validation(dict.fromkeys(weighting.tasks, 1.0))

    def train(self, steps: int) -> None:
        """Runs optimizer steps."""
        for _ in range(steps):
            batch = next(self.batches)
            self.optimizer.zero_grad()
            self.differentiate(batch)
            self.optimizer.step()
            if self.executor.needs_losses_after:
                with torch.no_grad():
                    losses = [self.forward(part)[0] for part in batch.values()]
                self.executor.finish_step([(found, dict.fromkeys(found, 1.0)) for found in losses])


def measure(names: Sequence[str], effort: Effort, threads: int, quick: bool = False) -> dict[str, Figures]:
    """The figures of some exported weightings, ``EqualWeighting`` among them."""
    loops: dict[str, MakeLoop] = {name: partial(WholeLoop, name=name) for name in names}
    workloads = {key: workload.small() if quick else workload for key, workload in WORKLOADS.items()}
    memory = {key: _memory(workload, loops, effort, threads) for key, workload in workloads.items()}
    torch.set_num_threads(threads)
    keep_freed_memory()
    time = {key: _time(workload, loops, effort) for key, workload in workloads.items()}
    machine = f"{os.cpu_count()} CPU cores ({platform.machine()}), {threads} thread, torch {torch.__version__}"
    return {
        name: Figures(
            time={key: round(time[key][name], 3) for key in workloads},
            memory={key: round(memory[key][name], 3) for key in workloads},
            **behaviour(name, 20 if quick else _NUM_CONFLICTS),
            date=datetime.now(UTC).date().isoformat(),
            machine=machine,
        )
        for name in loops
    }


def _memory(workload: Workload, loops: Mapping[str, MakeLoop], effort: Effort, threads: int) -> dict[str, float]:
    peaks = {
        name: peak_memory(partial(train_plainly, make=make), workload, effort, threads) for name, make in loops.items()
    }
    seen = {name: max(peak, 1) for name, peak in peaks.items()}  # a quick run may fit into memory that was freed before
    return {name: peak / seen[BASELINE] for name, peak in seen.items()}


def _time(workload: Workload, makes: Mapping[str, MakeLoop], effort: Effort) -> dict[str, float]:
    """Contestants take turns; the baseline is among them too, so that its ratio says how noisy the others are."""
    batches = workload.batches(_NUM_BATCHES)
    loops = {name: make(workload, batches) for name, make in makes.items()}
    return time_ratios(makes[BASELINE](workload, batches), loops, effort)


def behaviour(name: str, number: int) -> Behaviour:
    """What fresh objects of a weighting do with a number of random conflicts."""
    random = torch.Generator().manual_seed(0)
    increases, turns = 0, []
    for draw in range(number):
        jacobian, losses = _conflict(random)
        torch.manual_seed(draw)
        found = direction(maker(name)(_TASKS), jacobian, losses)
        torch.manual_seed(draw)
        factors = torch.tensor([100.0, 1.0, 1.0, 1.0], dtype=torch.float64)
        rescaled = direction(maker(name)(_TASKS), factors[:, None] * jacobian, factors * losses)
        increases += bool((cosine_similarity(jacobian, found[None]) < -1e-3).any())
        turns.append(float(torch.rad2deg(cosine_similarity(found, rescaled, dim=0).clamp(-1, 1).arccos())))
    median = round(float(torch.tensor(turns).median()), 1)
    return Behaviour(conflicts=number, increases=round(increases / number, 3), turns=median)


def _conflict(random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients [4, 8], the lengths of which differ as tasks' do, two of them at an obtuse angle; losses [4]."""
    while True:
        lengths = torch.randn(len(_TASKS), 1, generator=random, dtype=torch.float64).exp()
        jacobian = lengths * torch.randn(len(_TASKS), _PARAMETERS, generator=random, dtype=torch.float64)
        losses = torch.rand(len(_TASKS), generator=random, dtype=torch.float64) + 0.1
        if (jacobian @ jacobian.T < 0).any():
            return jacobian, losses


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes the file."""
    options = _parser().parse_args(arguments)
    silence()
    names = [name for name in exported() if options.only is None or name in {BASELINE, *options.only}]
    figures = measure(names, QUICK if options.quick else Effort(options.rounds, 1), options.threads, options.quick)
    known = json.loads(options.output.read_text("utf-8")) if options.only and options.output.exists() else {}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({**known, **figures}, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"{len(figures)} weightings: {options.output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark.weightings", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little to do: whether it runs, not how fast")
    parser.add_argument(
        "--only", nargs="+", choices=exported(), metavar="NAME", help="some, which join those of the file"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="file for the figures (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=11, help="of the time measurement (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    return parser


if __name__ == "__main__":
    main()
