"""Times of steps on gloo processes of this machine, and of the all-reduce that the model is fitted to."""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from statistics import median
from typing import Any, TypedDict
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist
from scipy.optimize import nnls
from torch import Tensor

from experiments.benchmark.loops import Loop
from experiments.benchmark.meeting import together
from experiments.benchmark.parallel import size_of
from experiments.step_time.steps import STEPS, Measured, Scale
from mtl_lightning.backward import evidence
from mtl_lightning.communication.exchanges import Exchange
from mtl_lightning.communication.network import Link, Network
from mtl_lightning.communication.step_time import Step, predict


class Row(TypedDict):
    """A kind of step on a number of processes: medians over rounds, in seconds, bytes a second and as a ratio.

    ``computing`` is measured on the same processes when they do not talk to each other. ``predicted`` follows from it
    and from the all-reduce of the same round, so that a drift of the machine's speed concerns both.
    """

    processes: int
    step: str
    latency: float
    bandwidth: float | None
    computing: float
    predicted: float
    measured: float
    ratio: float


def measure(number: int, scale: Scale, clock: Callable[[], float]) -> list[Row]:
    """The rows of a number of processes, with one thread each.

    Args:
        number: How many.
        scale: How much is measured.
        clock: Seconds: of the wall, or of the processor, which other work on the machine hardly disturbs.
    """
    barrier = multiprocessing.get_context("forkserver").Barrier(number)
    return together(number, _rows, scale, clock, barrier)


def _rows(scale: Scale, clock: Callable[[], float], barrier: Barrier) -> list[Row]:
    rank, number = dist.get_rank(), dist.get_world_size()
    with patch.object(
        evidence, "adds_up_parts_sooner", return_value=False
    ):  # whole rows can do without other processes
        kinds = {
            f"{workload.name}: {name}": (measured, measured.make(workload, workload.batches(4, rank)))
            for workload in scale.workloads()
            for name, measured in STEPS[workload.name].items()
        }
    for _, loop in kinds.values():
        loop.train(2 * loop.period)  # in their first step, processes agree on what the tasks use
    timed = partial(_seconds, clock, barrier.wait)
    rounds = [_round(kinds, number, timed) for _ in range(scale.rounds)]
    return [_row(number, name, [found[name] for found in rounds]) for name in kinds]


Kinds = Mapping[str, tuple[Measured, Loop]]
Timed = Callable[[Callable[[int], None], int], float]
"""Seconds of an action that all processes do together; it is called with how often to repeat it."""


@dataclass(frozen=True)
class _Times:
    link: Link
    computing: float
    predicted: float
    measured: float


def _round(kinds: Kinds, number: int, timed: Timed) -> dict[str, _Times]:
    """Each kind of step once without and once with the others, after an all-reduce of several sizes."""
    link = _fitted(number, size_of(next(loop for _, loop in kinds.values())).row, timed)
    network, found = Network(link, link, per_node=number), {}
    for name, (kind, loop) in kinds.items():
        with patch.object(dist, "is_initialized", return_value=False):
            computing = timed(loop.train, max(2, loop.period))
        measured = timed(loop.train, max(2, loop.period))
        found[name] = _Times(link, computing, _predicted(kind, loop, computing, network, number), measured)
    return found


def _seconds(clock: Callable[[], float], meet: Callable[[], Any], act: Callable[[int], None], times: int) -> float:
    meet()
    start = clock()
    act(times)
    meet()
    return (clock() - start) / times


def _fitted(number: int, most: int, timed: Timed) -> Link:
    """Latency and bandwidth of a plain all-reduce of up to ``most`` bytes."""
    if number == 1:
        return Link(0.0, float("inf"))
    columns, seconds = [], []
    for share in (1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0):
        values = torch.zeros(max(1, round(most / 4 * share)))

        def reduce(times: int, values: Tensor = values) -> None:
            for _ in range(times):
                dist.all_reduce(values)

        seconds.append(timed(reduce, 4))
        columns.append([2 * (number - 1), Exchange("all_reduce", values.nbytes).sent(number)])
    relative = np.array(columns) / np.array(seconds)[:, None]  # a large one does not count for more than a small one
    latency, per_byte = nnls(relative, np.ones(len(seconds)))[0]
    return Link(float(latency), 1 / max(float(per_byte), 1e-15))


def _predicted(kind: Measured, loop: Loop, computing: float, network: Network, number: int) -> float:
    """Seconds of a step, where sending takes turns with computing."""
    volumes = [volume(size_of(loop)) for volume in kind.volumes]
    steps = [Step([computing] + [0.0] * (len(volume.early) - 1), volume) for volume in volumes]
    return sum(predict(step, network, number, overlap=0.0).total for step in steps) / len(steps)


def _row(number: int, name: str, rounds: Sequence[_Times]) -> Row:
    return Row(
        processes=number,
        step=name,
        latency=median(found.link.latency for found in rounds),
        bandwidth=None if number == 1 else median(found.link.bandwidth for found in rounds),
        computing=median(found.computing for found in rounds),
        predicted=median(found.predicted for found in rounds),
        measured=median(found.measured for found in rounds),
        ratio=median(found.predicted / found.measured for found in rounds),
    )
