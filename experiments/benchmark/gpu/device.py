"""The clock, the memory and the waits of a device."""

import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")
"""Calls in which the host waits for the device."""
ITEMS = "aten::item"
"""A number is read from a tensor, on whatever device."""
COPIES = {"pinned": "Memcpy HtoD (Pinned -> Device)", "pageable": "Memcpy HtoD (Pageable -> Device)"}
"""Copies to the device, by what memory they come from."""

Result = TypeVar("Result")


class Device:
    """What is measured of a device.

    Args:
        kind: ``cuda``, or in a rehearsal ``cpu``, which has neither memory of its own nor waits.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.is_gpu = kind != "cpu"
        self._events = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self.is_gpu else [])]
        self._of_profiler: Counter[str]
        for _ in range(2):  # the first time it also sets itself up
            self._of_profiler = Counter()
            self._of_profiler = self.events(lambda: None)

    @property
    def name(self) -> str:
        """Of the card."""
        return torch.cuda.get_device_name() if self.is_gpu else "rehearsal on a CPU"

    def wait(self) -> None:
        """Until all is done that the device has been asked for."""
        if self.is_gpu:
            torch.cuda.synchronize()

    def clock(self) -> float:
        """Seconds, when all is done."""
        self.wait()
        return time.perf_counter()

    def peak(self, run: Callable[[], object]) -> int | None:
        """Bytes by which its memory grows at most, as long as something runs; null in a rehearsal."""
        if not self.is_gpu:
            run()
            return None
        self.wait()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before

    def events(self, run: Callable[[], object]) -> Counter[str]:
        """How often each event of torch's profiler occurs, but for those of the profiler itself."""
        self.wait()
        with profile(activities=self._events) as profiled:
            run()
        found: Counter[str] = Counter()
        for event in profiled.key_averages():
            found[event.key] += event.count
        return found - self._of_profiler
