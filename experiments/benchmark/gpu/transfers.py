"""Copies to a GPU from pinned memory, which the loader uses, and from other memory."""

import time
from collections.abc import Iterator

import torch

from experiments.benchmark.gpu.device import Device
from experiments.benchmark.gpu.found import Found, found


def transfers(device: Device, megabytes: int) -> Iterator[Found]:
    """How long the host is held up, and when the data is there."""
    data = torch.ones(megabytes, 1_000_000, dtype=torch.uint8)
    sources = {"pageable": data, "pinned": data.pin_memory() if device.is_gpu else data}
    for kind, source in sources.items():
        source.to(device.kind, non_blocking=True)  # the first one finds memory
        start = device.clock()
        source.to(device.kind, non_blocking=True)
        returned = time.perf_counter() - start
        there = device.clock() - start
        part = f"{megabytes} MB to the device"
        yield found(part, f"{kind}: the host is held up", milliseconds=returned * 1e3)
        yield found(part, f"{kind}: the data is there", milliseconds=there * 1e3)
