"""Ratios of time and of memory to those of the bare loop."""

import ctypes
import multiprocessing
import resource
import time
from collections import UserList
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from experiments.benchmark.contestants import BARE_LOOP, BareLoop, fit
from experiments.benchmark.workloads import TINY, Workload
from mtl_lightning.data import Batch

_NUM_BATCHES = 8
_REDRAW_SECONDS = 0.02
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


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
    memory_steps: int


class Clocks(NamedTuple):
    """Seconds: of the processor, summed over threads, and of the wall."""

    cpu: float
    wall: float

    @classmethod
    def now(cls) -> "Clocks":
        """Reads both clocks, the processor's after the progress bar's thread has drawn what it owes."""
        wall = time.perf_counter()
        time.sleep(_REDRAW_SECONDS)
        return cls(time.process_time(), wall)

    def elapsed(self) -> "Clocks":
        """Time since this reading."""
        now = Clocks.now()
        return Clocks(now.cpu - self.cpu, now.wall - self.wall - _REDRAW_SECONDS)


class Rounds:
    """An epoch of batches for Lightning that lets the bare loop run between blocks of Lightning's steps.

    The clocks are read where the loop asks for the first batch of the next block, so that all that Lightning does for a
    block of steps is counted: loop, callbacks, logging, drawing. The bare loop runs before and after each block, and a
    block is compared with the mean of the two, which cancels a drift of the machine's speed.

    Args:
        batches: Step batches, gone through again and again.
        bare: The bare loop.
        effort: Number of rounds and their length.
    """

    def __init__(self, batches: Sequence[dict[str, Batch]], bare: BareLoop, effort: Effort) -> None:
        self.batches = batches
        self.bare = bare
        self.effort = effort
        self.bare_times: list[Clocks] = []
        self.block_times: list[Clocks] = []

    def __len__(self) -> int:
        return self.effort.rounds * self.effort.steps + 1  # one more, to be asked for it when the last round is over

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        self._run_bare()
        for _ in range(self.effort.rounds):
            start = Clocks.now()
            for step in range(self.effort.steps):
                yield self.batches[step % len(self.batches)]
            self.block_times.append(start.elapsed())
            self._run_bare()
        yield self.batches[0]

    def ratios(self) -> Clocks:
        """Medians over the rounds, the first one left out."""
        neighbours = zip(self.block_times[1:], self.bare_times[1:], self.bare_times[2:], strict=False)
        pairs = [(block, Clocks((a.cpu + b.cpu) / 2, (a.wall + b.wall) / 2)) for block, a, b in neighbours]
        return Clocks(median(x.cpu / y.cpu for x, y in pairs), median(x.wall / y.wall for x, y in pairs))

    def _run_bare(self) -> None:
        start = Clocks.now()
        self.bare.train(self.effort.steps)
        self.bare_times.append(start.elapsed())


def time_ratios(workload: Workload, contestant: str, effort: Effort) -> Clocks:
    """Time of a step under Lightning, relative to one of the bare loop that takes turns with it in this process."""
    batches = workload.batches(_NUM_BATCHES)
    rounds = Rounds(batches, BareLoop(workload, batches), effort)
    with TemporaryDirectory() as folder:
        fit(workload, contestant, rounds, Path(folder), log_every=effort.steps)
    return rounds.ratios()


def peak_memory(workload: Workload, contestant: str, effort: Effort, threads: int) -> int:
    """Growth of the peak resident memory by training, in the system's unit.

    Measured in a process of its own. It forks from this one, so call it before anything has been computed here: threads
    do not survive a fork.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(workload, contestant, effort, threads, sender.send))
    process.start()
    sender.close()
    growth: int = receiver.recv()
    process.join()
    return growth


def _train(workload: Workload, contestant: str, effort: Effort, threads: int, send: Callable[[int], None]) -> None:
    torch.set_num_threads(threads)
    _return_freed_memory()
    batches = workload.batches(effort.memory_steps)
    _run(TINY, contestant, TINY.batches(1))  # what is imported or allocated once is not the step's
    before = _peak()
    _run(workload, contestant, batches)
    send(_peak() - before)


def _run(workload: Workload, contestant: str, batches: Sequence[dict[str, Batch]]) -> None:
    if contestant == BARE_LOOP:
        BareLoop(workload, batches).train(len(batches))
    else:
        with TemporaryDirectory() as folder:
            epoch = UserList(batches)  # Lightning takes a plain list for a list of loaders
            fit(workload, contestant, epoch, Path(folder), log_every=1)


def _return_freed_memory() -> None:
    """Makes glibc give every freed tensor back at once; what it hoards varies by a tenth from run to run."""
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        allocator.mallopt(_M_MMAP_THRESHOLD, 1 << 16)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
