"""A step in Lightning on a GPU, with all that the command line installs."""

from collections import UserList
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.benchmark.contestants import BARE_LOOP, fit
from experiments.benchmark.gpu.device import COPIES, ITEMS, WAITS, Device
from experiments.benchmark.gpu.found import Found, found
from experiments.benchmark.gpu.plain import on
from experiments.benchmark.measure import Effort, time_ratio_in_lightning
from experiments.benchmark.workloads import Workload

TARGET = 1.1

_PROFILED_STEPS = 4
_LOG_EVERY = 2


def in_lightning(
    device: Device, precision: str, workload: Workload, effort: Effort, contestants: Sequence[str]
) -> Iterator[Found]:
    """Beside the bare loop: time, waits, and from where batches are copied."""
    there = on(device, precision, replace(workload, name=f"{workload.name}, in Lightning"))
    yield found(there.name, BARE_LOOP, 1.0)
    for name in contestants:
        ratio = time_ratio_in_lightning(there, name, effort, device.clock)
        events = _events_of_a_step(device, there, name)
        waits = sum(events[key] for key in WAITS) if device.is_gpu else None
        yield found(there.name, name, ratio, TARGET, waits=waits, items=events[ITEMS])
        for kind, key in COPIES.items():
            yield found(there.name, f"{name}: copies from {kind} memory, count", items=events[key])


def _events_of_a_step(device: Device, workload: Workload, contestant: str) -> Mapping[str, float]:
    """A longer run's events less a short one's, so that those of start and end do not count."""
    short, long = (_events(device, workload, contestant, steps) for steps in (_LOG_EVERY, _LOG_EVERY + _PROFILED_STEPS))
    return {key: (long[key] - short[key]) / _PROFILED_STEPS for key in (*WAITS, ITEMS, *COPIES.values())}


def _events(device: Device, workload: Workload, contestant: str, steps: int) -> Mapping[str, int]:
    batches = workload.batches(steps)
    with TemporaryDirectory() as folder:
        return device.events(lambda: fit(workload, contestant, UserList(batches), Path(folder), _LOG_EVERY))
