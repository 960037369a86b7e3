"""What training costs: time, memory and backward passes of a step."""

import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PassCounter:
    """Counts how often gradients are sent back through what the encoder made of a batch.

    Args:
        encoder: Its forward passes start the count of a batch.

    Attributes:
        forward: Forward passes since the last :meth:`read`.
        backward: Backward passes through them; one of all losses together counts as often as one of a single loss.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.forward = self.backward = self._batch = 0
        self._last = (-1, -1)
        self._handle = encoder.register_forward_hook(self._watch)

    def _watch(self, encoder: nn.Module, inputs: Any, output: Any) -> None:
        found = [tensor for tensor in _tensors(output) if tensor.grad_fn is not None]
        if found:
            self.forward += 1
            self._batch = batch = self._batch + 1
            for tensor in found:
                tensor.grad_fn.register_prehook(lambda gradients: self._count(batch))  # type: ignore[union-attr]

    def _count(self, batch: int) -> None:
        here = (batch, torch._C._current_graph_task_id())  # words and sentence may come from one batch, in one pass
        if here != self._last:
            self.backward += 1
        self._last = here

    def read(self) -> float | None:
        """Backward passes for each forward pass, both since it was last read; None where there was none."""
        passes = self.backward / self.forward if self.forward else None
        self.forward = self.backward = 0
        return passes

    def remove(self) -> None:
        """Stops counting."""
        self._handle.remove()


class Stopwatch:
    """Times what happens again and again.

    Args:
        warm_up: How many times are left out at first, since they warm things up.
    """

    def __init__(self, warm_up: int = 3) -> None:
        self._left = warm_up
        self._started = time.perf_counter()

    def start(self) -> None:
        """Begins one."""
        self._started = time.perf_counter()

    def lap(self) -> float | None:
        """Ends one and begins the next: its seconds, None while things warm up."""
        now = time.perf_counter()
        seconds, self._started = now - self._started, now
        if self._left:
            self._left -= 1
            return None
        return seconds


class PeakMemory:
    """The most memory that training holds, in bytes: on a GPU what torch allocated there, otherwise of the process.

    Of the process it counts what it grew by since this object was made, as far as the system tells.
    """

    def __init__(self) -> None:
        self._before = _resident("VmRSS") if _STATUS.exists() else 0

    def start(self, device: torch.device) -> None:
        """Forgets the peak of what came before training."""
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif _CLEAR.exists():
            _CLEAR.write_text("5")

    def read(self, device: torch.device) -> int:
        """The peak so far."""
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
