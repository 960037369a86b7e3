"""Ratios of time and of memory to those of a baseline."""

import ctypes
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from experiments.benchmark.contestants import fit
from experiments.benchmark.loops import BareLoop, Loop
from experiments.benchmark.workloads import WARM_UP, Batches, Workload
from mtl_lightning.data import Batch

_NUM_BATCHES = 8
_REDRAW_SECONDS = 0.02
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: Of the time measurement; the first one warms up and does not count.
        steps: Optimizer steps of each contestant in a round.
        memory_steps: Optimizer steps of the memory measurement.
    """

    rounds: int
    steps: int
    memory_steps: int = 3


# -- time --------------------------------------------------------------------------------------------------------------
def time_ratios(
    baseline: Loop, contestants: Mapping[str, Loop], effort: Effort, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """Times of a step, relative to one of the baseline.

    The loops take turns. The baseline runs before and after each contestant's block of steps, and a block is compared
    with the mean of the two, which cancels a drift of the machine's speed.

    Args:
        baseline: What the contestants are compared with.
        contestants: By name.
        effort: Number of rounds, and length of a block; a loop that repeats itself later than that has a longer one.
        clock: Seconds.

    Returns:
        Medians over the rounds.
    """

    def seconds(loop: Loop) -> float:
        steps = max(effort.steps, loop.period)
        start = clock()
        loop.train(steps)
        return (clock() - start) / steps

    ratios: dict[str, list[float]] = {name: [] for name in contestants}
    before = seconds(baseline)
    for _ in range(effort.rounds):
        for name, loop in contestants.items():
            block, after = seconds(loop), seconds(baseline)
            ratios[name].append(2 * block / (before + after))
            before = after
    return {name: median(found[1:]) for name, found in ratios.items()}


class Rounds:
    """An epoch of batches for Lightning that lets the bare loop run between blocks of Lightning's steps.

    The clock is read where the loop asks for the first batch of the next block, so that all that Lightning does for a
    block of steps is counted: loop, callbacks, logging, drawing.

    Args:
        batches: Step batches, gone through again and again.
        bare: The bare loop.
        effort: Number of rounds and their length.
        clock: Seconds.
    """

    def __init__(
        self, batches: Batches, bare: BareLoop, effort: Effort, clock: Callable[[], float] = time.process_time
    ) -> None:
        self.batches = batches
        self.bare = bare
        self.effort = effort
        self.clock = clock
        self.bare_times: list[float] = []
        self.block_times: list[float] = []

    def __len__(self) -> int:
        return self.effort.rounds * self.effort.steps + 1  # one more, to be asked for it when the last round is over

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        self._run_bare()
        for _ in range(self.effort.rounds):
            start = self._when_drawn()
            for step in range(self.effort.steps):
                yield self.batches[step % len(self.batches)]
            self.block_times.append(self._when_drawn() - start)
            self._run_bare()
        yield self.batches[0]

    def ratio(self) -> float:
        """Median over the rounds, the first one left out."""
        blocks = zip(self.block_times[1:], self.bare_times[1:], self.bare_times[2:], strict=False)
        return median(2 * block / (before + after) for block, before, after in blocks)

    def _run_bare(self) -> None:
        start = self._when_drawn()
        self.bare.train(self.effort.steps)
        self.bare_times.append(self._when_drawn() - start)

    def _when_drawn(self) -> float:
        """Seconds, after the progress bar's thread has drawn what it owes."""
        time.sleep(_REDRAW_SECONDS)
        return self.clock()


def time_ratio_in_lightning(
    workload: Workload, contestant: str, effort: Effort, clock: Callable[[], float] = time.process_time
) -> float:
    """Time of a step under Lightning, relative to one of the bare loop that takes turns with it in this process."""
    batches = workload.batches(_NUM_BATCHES)
    rounds = Rounds(batches, BareLoop(workload, batches), effort, clock)
    with TemporaryDirectory() as folder:
        fit(workload, contestant, rounds, Path(folder), log_every=effort.steps)
    return rounds.ratio()


# -- memory ------------------------------------------------------------------------------------------------------------
def peak_memory(train: Callable[[Workload, Batches], None], workload: Workload, effort: Effort, threads: int) -> int:
    """Growth of the peak resident memory by training, in the system's unit.

    Measured in a process of its own. It forks from this one, so call it before anything has been computed here: threads
    do not survive a fork.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(train, workload, effort, threads, sender.send))
    process.start()
    sender.close()
    growth: int = receiver.recv()
    process.join()
    return growth


def _train(
    train: Callable[[Workload, Batches], None],
    workload: Workload,
    effort: Effort,
    threads: int,
    send: Callable[[int], None],
) -> None:
    torch.set_num_threads(threads)
    _return_freed_memory()
    batches = workload.batches(effort.memory_steps)
    train(WARM_UP, WARM_UP.batches(1))  # what is imported or allocated once is not the step's
    before = _peak()
    train(workload, batches)
    send(_peak() - before)


def keep_freed_memory() -> None:
    """Makes glibc keep what is freed; call it before time is measured.

    What it gives back to the system must be zeroed when it is asked for again, which can take a tenth of a step.
    Whether it does is a matter of luck: it depends on the order in which a contestant frees its tensors.
    """
    _set_allocator({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1})


def _return_freed_memory() -> None:
    """Makes glibc give every freed tensor back at once; what it hoards varies by a tenth from run to run."""
    _set_allocator({_M_MMAP_THRESHOLD: 1 << 16})


def _set_allocator(options: Mapping[int, int]) -> None:
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        for option, value in options.items():
            allocator.mallopt(option, value)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
