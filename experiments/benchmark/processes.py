"""A training step on two processes that average their gradients, beside DistributedDataParallel's."""

import cProfile
import multiprocessing
import pstats
import time
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from experiments.benchmark.contestants import EQUAL, GRAMIAN_METHODS, MakeLoop
from experiments.benchmark.loops import BareLoop, ExecutorLoop, Loop
from experiments.benchmark.measure import Effort, keep_freed_memory, time_ratios
from experiments.benchmark.rows import Row, row
from experiments.benchmark.workloads import Batches, Perceptron, Workload, one_input, several_inputs
from mtl_lightning.data import Batch
from mtl_lightning.weighting import EqualWeighting

PLAIN, SILENT = "DistributedDataParallel", "DistributedDataParallel without its all-reduce"
TARGET = 3.0
METHODS = ("UPGrad", "NashMTL")
DISSECTED = "UPGrad"

_PROCESSES = 2
_NUM_BATCHES = 4
_TEN_MILLION = Perceptron((512, 2912, 2912))
WORKLOADS = (
    one_input("two processes, 10 M parameters, one input of 32", 4, 32, _TEN_MILLION),
    several_inputs("two processes, 10 M parameters, several inputs of 8", 4, 8, _TEN_MILLION),
)


class ParallelLoop(BareLoop):
    """The bare loop as one writes it for several processes."""

    def __init__(self, workload: Workload, batches: Batches) -> None:
        super().__init__(workload, batches)
        self.model = DistributedDataParallel(_Sum(self))

    def differentiate(self, batch: dict[str, Batch]) -> None:
        self.model(batch).backward()


class SilentLoop(ParallelLoop):
    """The same, but every process goes its own way."""

    def differentiate(self, batch: dict[str, Batch]) -> None:
        with self.model.no_sync():
            super().differentiate(batch)


class _Sum(nn.Module):
    """The sum of the losses, as a module that knows all parameters."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.encoder, self.heads = loop.encoder, nn.ModuleDict(loop.tasks)
        self._losses = loop.forward

    def forward(self, batch: dict[str, Batch]) -> Tensor:
        return torch.stack([loss for part in batch.values() for loss in self._losses(part)[0].values()]).sum()


CONTESTANTS: Mapping[str, MakeLoop] = {
    SILENT: SilentLoop,
    EQUAL: partial(ExecutorLoop, weighting=EqualWeighting),
    **{name: GRAMIAN_METHODS[name] for name in METHODS},
}


def measure(workloads: Sequence[Workload], effort: Effort) -> list[Row]:
    """Rows of wall time, with one thread a process, and of the parts that a step is made of."""
    context = multiprocessing.get_context("forkserver")  # what they import, it imports once
    context.set_forkserver_preload([__name__])
    receiver, sender = context.Pipe(duplex=False)
    with TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        workers = [
            context.Process(target=_work, args=(rank, meeting, workloads, effort, sender)) for rank in range(_PROCESSES)
        ]
        for worker in workers:
            worker.start()
        sender.close()
        rows: list[Row] = receiver.recv()
        for worker in workers:
            worker.join()
    return rows


def _work(rank: int, meeting: Path, workloads: Sequence[Workload], effort: Effort, sender: Connection) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=_PROCESSES)
    rows = [row for workload in workloads for row in _rows(workload, workload.batches(_NUM_BATCHES, rank), effort)]
    if rank == 0:
        sender.send(rows)
    dist.destroy_process_group()


def _wall_clock() -> float:
    """Seconds, once all processes have come here."""
    dist.barrier()
    return time.perf_counter()


def _rows(workload: Workload, batches: Batches, effort: Effort) -> list[Row]:
    plain = ParallelLoop(workload, batches)
    loops = {name: make(workload, batches) for name, make in CONTESTANTS.items()}
    rows = []
    for name, ratio in {PLAIN: 1.0, **time_ratios(plain, loops, effort, _wall_clock)}.items():
        target = TARGET if name in METHODS else None
        rows.append(row(workload.name, name, len(workload.tasks), ratio, target))
        if name in (PLAIN, DISSECTED):
            parts = _parts(loops.get(name, plain), 3 * effort.steps)
            rows += [row(workload.name, f"{name}: {p}", len(workload.tasks), ratio * parts[p]) for p in parts]
    return rows


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
