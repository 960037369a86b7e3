"""What training costs: time, memory and backward passes of a step."""

import math
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_BIN = 1.01


class PassCounter:
    """Counts how often gradients are sent back through what the heads read of a batch.

    A pass through the graphs of several batches counts once for each, as that is its arithmetic; a pass of all losses
    together counts as one of a single loss.

    Args:
        chain: What runs the heads, once for each batch of a data set, whatever the sharing before it does.
    """

    def __init__(self, chain: nn.Module) -> None:
        self._batch = 0
        self._passes: set[tuple[int, int]] = set()  # words and sentence may come from one batch, in one pass
        self._handle = chain.register_forward_pre_hook(self._watch)

    def _watch(self, chain: nn.Module, arguments: tuple[Any, ...]) -> None:
        _, representations, _ = arguments
        self._batch = batch = self._batch + 1
        for tensor in {id(t): t for read in representations.values() for t in _tensors(read)}.values():
            if tensor.grad_fn is not None:
                tensor.grad_fn.register_prehook(lambda gradients: self._count(batch))

    def _count(self, batch: int) -> None:
        self._passes.add((batch, torch._C._current_graph_task_id()))

    def read(self) -> int:
        """Backward passes since it was last read, each through one batch."""
        number = len(self._passes)
        self._passes.clear()
        return number

    def remove(self) -> None:
        """Stops counting."""
        self._handle.remove()


class Stopwatch:
    """Times what happens again and again.

    Args:
        warm_up: How many times are left out at first, since they warm things up.
        clock: Tells the seconds: those on the wall, or with :func:`time.process_time` those of the processor.
    """

    def __init__(self, warm_up: int = 3, clock: Callable[[], float] = time.perf_counter) -> None:
        self._left = warm_up
        self._clock = clock
        self._started = clock()

    def start(self) -> None:
        """Begins one."""
        self._started = self._clock()

    def lap(self) -> float | None:
        """Ends one and begins the next: its seconds, None while things warm up."""
        now = self._clock()
        seconds, self._started = now - self._started, now
        if self._left:
            self._left -= 1
            return None
        return seconds


class Durations:
    """Counts durations in bins of 1 %, so that their median is known however many there are.

    >>> durations = Durations()
    >>> for seconds in (0.010, 0.011, 5.0):
    ...     durations.add(seconds)
    >>> round(durations.median(), 4)
    0.011

    Attributes:
        counts: By bin.
    """

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Takes one."""
        self.counts[round(math.log(max(seconds, 1e-9), _BIN))] += 1

    def median(self) -> float | None:
        """Of all so far, in seconds, to within half a per cent; None where there is none."""
        return _BIN ** statistics.median(self.counts.elements()) if self.counts else None


class PeakMemory:
    """The most memory held since it was last started, in bytes: on a GPU torch's, otherwise the process's.

    Of the process it counts what it grew by since this object was made. Where there is no ``/proc``, the system tells
    no more than the most that the process ever held.
    """

    def __init__(self) -> None:
        self._before = _resident("VmRSS") if _STATUS.exists() else 0

    def start(self, device: torch.device) -> None:
        """Forgets the peak of what came before; takes some 0.02 ms."""
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif _CLEAR.exists():
            _CLEAR.write_text("5")

    def read(self, device: torch.device) -> int:
        """The peak so far; takes some 0.03 ms."""
        if device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(device))
        if _STATUS.exists():
            return max(0, _resident("VmHWM") - self._before)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def _resident(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def _tensors(output: Any) -> list[Tensor]:
    parts = [output.pooled, output.tokens] if hasattr(output, "pooled") else [output]
    return [part for part in parts if isinstance(part, Tensor)]
