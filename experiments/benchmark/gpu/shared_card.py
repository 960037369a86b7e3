"""Two processes that share one GPU."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from experiments.benchmark import processes
from experiments.benchmark.gpu.device import Device
from experiments.benchmark.gpu.found import Found, found
from experiments.benchmark.measure import Effort
from experiments.benchmark.processes import Case

_WORLD = 2
_STRATEGIES = ("ddp",)
_SECONDS = 90.0


def on_one_card(device: Device, cases: Sequence[Case], effort: Effort) -> Iterator[Found]:
    """Beside DistributedDataParallel, through NCCL where it lets two processes share a card, and through gloo.

    Where a backend does not, its message takes the place of the figures.
    """
    there = [replace(case, workload=replace(case.workload, device=device.kind)) for case in cases]
    for backend in ("nccl", "gloo"):
        part = f"two processes on one card, {backend}"
        try:
            rows = processes.measure(there, effort, [_WORLD], _STRATEGIES, backend, _SECONDS)
        except RuntimeError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            yield found(part, f"it does not work: {'; '.join(dict.fromkeys((lines[0], lines[-1])))}")
            continue
        for row in rows:
            yield found(f"{part}: {row['workload']}", row["contestant"], row["time_ratio"], row["target"])
