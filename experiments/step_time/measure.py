"""Times of steps on gloo processes of this machine, and of the all-reduce that the model is fitted to."""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict

import numpy as np
import torch
import torch.distributed as dist

from experiments.benchmark.loops import Loop
from experiments.benchmark.measure import keep_freed_memory
from experiments.step_time.steps import STEPS, Measured, Scale, size_of
from mtl_lightning.communication.exchanges import Exchange
from mtl_lightning.communication.network import Link, Network
from mtl_lightning.communication.step_time import Step, predict


class Row(TypedDict):
    """A kind of step on a number of processes; times in seconds.

    ``computing`` is measured on as many processes that know nothing of each other, ``predicted`` follows from it and
    from the fit.
    """

    processes: int
    step: str
    latency: float
    bandwidth: float
    computing: float
    predicted: float
    measured: float


def measure(number: int, scale: Scale) -> list[Row]:
    """The rows of a number of processes, with one thread each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    receiver, sender = context.Pipe(duplex=False)
    barrier = context.Barrier(number)
    with TemporaryDirectory() as folder:
        given = (number, scale, Path(folder) / "meeting", barrier, sender)
        workers = [context.Process(target=_work, args=(rank, *given)) for rank in range(number)]
        for worker in workers:
            worker.start()
        sender.close()
        rows: list[Row] = receiver.recv()
        for worker in workers:
            worker.join()
    return rows


def _work(rank: int, number: int, scale: Scale, meeting: Path, barrier: Any, sender: Connection) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    kinds = {
        f"{workload.name}: {name}": (measured, measured.make(workload, workload.batches(4, rank)))
        for workload in scale.workloads()
        for name, measured in STEPS[workload.name].items()
    }
    actions = {name: (loop.train, loop.period) for name, (_, loop) in kinds.items()}
    computing = _times(actions, scale.rounds, barrier.wait)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=number)
    for _, loop in kinds.values():
        loop.train(2 * loop.period)  # in their first step, processes agree on what the tasks use
    link = _fitted(number, size_of(next(iter(kinds.values()))[1]).row, scale.rounds, barrier.wait)
    measured = _times(actions, scale.rounds, barrier.wait)
    if rank == 0:
        network = Network(link, link, per_node=number)
        found = {name: _predicted(*kinds[name], computing[name], network, number) for name in kinds}
        sender.send(
            [
                Row(processes=number, step=name, latency=link.latency, bandwidth=link.bandwidth,
                    computing=computing[name], predicted=found[name], measured=measured[name])
                for name in kinds
            ]
        )  # fmt: skip
    dist.destroy_process_group()


def _times(
    actions: Mapping[str, tuple[Callable[[int], None], int]], rounds: int, meet: Callable[[], Any]
) -> dict[str, float]:
    """Seconds of each action, all processes together: the least of some rounds, which other work disturbs least.

    Args:
        actions: Called with how often to repeat it, and after how often it repeats itself.
        rounds: In which the actions take turns, besides one to warm up.
        meet: Returns once all processes have called it.
    """
    found: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds + 1):
        for name, (act, period) in actions.items():
            times = max(2, period)
            meet()
            start = time.perf_counter()
            act(times)
            meet()
            found[name].append((time.perf_counter() - start) / times)
    return {name: min(seconds[1:]) for name, seconds in found.items()}


def _fitted(number: int, most: int, rounds: int, meet: Callable[[], Any]) -> Link:
    """Latency and bandwidth of a plain all-reduce of up to ``most`` bytes."""
    if number == 1:
        return Link(0.0, float("inf"))
    sizes = [max(4, round(most * share)) // 4 * 4 for share in (1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0)]
    values = {size: torch.zeros(size // 4) for size in sizes}

    def reducing(size: int) -> Callable[[int], None]:
        return lambda times: [dist.all_reduce(values[size]) for _ in range(times)].clear()

    times = _times({str(size): (reducing(size), 4) for size in sizes}, rounds, meet)
    seconds = np.array([times[str(size)] for size in sizes])
    sent = [Exchange("all_reduce", size).sent(number) for size in sizes]
    columns = np.array([[2 * (number - 1), bytes_sent] for bytes_sent in sent])
    latency, per_byte = np.linalg.lstsq(columns / seconds[:, None], np.ones(len(sizes)))[0]  # relative errors
    return Link(max(float(latency), 0.0), 1 / float(per_byte))


def _predicted(kind: Measured, loop: Loop, computing: float, network: Network, number: int) -> float:
    """Seconds of a step, where sending takes turns with computing."""
    volumes = [volume(size_of(loop)) for volume in kind.volumes]
    times = [predict(Step([computing] + [0.0] * (len(v.early) - 1), v), network, number, overlap=0.0) for v in volumes]
    return sum(found.total for found in times) / len(times)
