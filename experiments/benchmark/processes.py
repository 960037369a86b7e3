"""A training step on several processes that meet by gloo on this machine, beside DistributedDataParallel's."""

import cProfile
import pstats
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.distributed as dist

from experiments.benchmark.loops import Loop
from experiments.benchmark.measure import Effort, time_ratios
from experiments.benchmark.meeting import together
from experiments.benchmark.parallel import (
    METHODS,
    PLAIN,
    STRATEGIES,
    ParallelLoop,
    sent_by_model,
)
from experiments.benchmark.rows import Row, row
from experiments.benchmark.sent import Sent
from experiments.benchmark.workloads import Perceptron, Workload, one_input, several_inputs

DISSECTED = "UPGrad"
WORLDS, FEW = (1, 2, 4), (1, 2)
EFFORT = Effort(9, 1)

_DISSECTED = (2, "cpu")
_NUM_BATCHES = 4
_TEN_MILLION = Perceptron((512, 2912, 2912))


@dataclass(frozen=True)
class Case:
    """What is trained.

    Attributes:
        workload: The model, and what it learns from.
        target: What the time of a step may be, relative to DistributedDataParallel's, of a method that compares
            gradients.
    """

    workload: Workload
    target: float

    def quick(self) -> "Case":
        """The same with almost nothing to do."""
        return replace(self, workload=self.workload.small())


CASES = (
    Case(several_inputs("10 M parameters, several inputs of 8", 4, 8, _TEN_MILLION), 1.5),
    Case(one_input("10 M parameters, one input of 32", 4, 32, _TEN_MILLION), 2.5),
)


def measure(
    cases: Sequence[Case],
    effort: Effort,
    worlds: Sequence[int],
    strategies: Sequence[str],
    backend: str = "gloo",
    limit: float | None = None,
) -> list[Row]:
    """Rows of wall time, with one thread a process, of bytes sent, and, on two processes, of the parts of a step.

    Args:
        cases: What is trained.
        effort: How long.
        worlds: Numbers of processes.
        strategies: Keys of ``STRATEGIES``.
        backend: Through which the processes talk.
        limit: Seconds that they may take; null: any.

    Raises:
        RuntimeError: If a process fails, or if they take longer.
    """
    given = (_measure, cases, effort, strategies)
    return [row for world in worlds for row in together(world, *given, backend=backend, limit=limit)]


def _measure(cases: Sequence[Case], effort: Effort, strategies: Sequence[str]) -> list[Row]:
    return [row for case in cases for row in _rows(case, effort, strategies)]


def _wall_clock(device: str) -> float:
    """Seconds, once all processes have come here and their devices have done all that they were asked for."""
    dist.barrier()
    torch.get_device_module(device).synchronize()
    return time.perf_counter()


def _rows(case: Case, effort: Effort, strategies: Sequence[str]) -> list[Row]:
    world, tasks = dist.get_world_size(), len(case.workload.tasks)
    workload = replace(case.workload, name=f"{world} process{'es' * (world > 1)}, {case.workload.name}")
    batches = workload.batches(_NUM_BATCHES, dist.get_rank())
    plain = ParallelLoop(workload, batches)
    makers = {name: make for strategy in strategies for name, make in STRATEGIES[strategy].items()}
    loops = {name: make(workload, batches) for name, make in makers.items()}
    ratios = {PLAIN: 1.0, **time_ratios(plain, loops, effort, partial(_wall_clock, workload.device))}
    sent = _sent(workload, {PLAIN: plain, **loops})
    rows = []
    for name, ratio in ratios.items():
        target = case.target if name in METHODS else None
        rows.append(row(workload.name, name, tasks, ratio, target, **sent[name]))
        if (world, workload.device) == _DISSECTED and name in (PLAIN, DISSECTED):
            parts = _parts(loops.get(name, plain), 3 * effort.steps)
            rows += [row(workload.name, f"{name}: {p}", tasks, ratio * parts[p]) for p in parts]
    return rows


def _sent(workload: Workload, loops: Mapping[str, Loop]) -> dict[str, dict[str, float]]:
    """Bytes that a step of each sends, relative to the first one's: counted, and as the model says."""
    world, counts = dist.get_world_size(), {}
    if world == 1:
        return {name: {} for name in loops}
    for name, loop in loops.items():
        with Sent(world) as counted:
            loop.train(1)
        counts[name] = counted.bytes
    said = sent_by_model(loops[PLAIN], len(workload.datasets), world)
    return {
        name: {
            "sent_ratio": count / counts[PLAIN],
            **({"sent_model": said[name] / said[PLAIN]} if name in said else {}),
        }
        for name, count in counts.items()
    }


def _parts(loop: Loop, steps: int) -> dict[str, float]:
    """Shares of the time of a step. DistributedDataParallel's all-reduce is hidden in the backward pass."""
    profile = cProfile.Profile()
    dist.barrier()
    profile.runcall(loop.train, steps)
    dist.barrier()
    whole, parts = 0.0, dict.fromkeys(("forward", "backward", "all-reduce", "optimizer"), 0.0)
    for (file, _, function), (_, _, alone, inclusive, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        whole += alone
        if "run_backward" in function:
            parts["backward"] += alone
        elif "_distributed_c10d" in function and ("wait" in function or "allreduce" in function):
            parts["all-reduce"] += alone
        elif function == "step" and "optim" in file:
            parts["optimizer"] += inclusive
        elif function == "forward" and file == Loop.forward.__code__.co_filename:
            parts["forward"] += inclusive
    parts["the rest"] = whole - sum(parts.values())
    return {name: seconds / whole for name, seconds in parts.items() if seconds}
