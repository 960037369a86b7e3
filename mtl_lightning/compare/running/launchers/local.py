"""Runs in processes of this machine."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from mtl_lightning.compare.planning.plan import Run
from mtl_lightning.compare.planning.settings import Settings
from mtl_lightning.compare.running.launchers.base import Ended, Launcher
from mtl_lightning.compare.running.launchers.forking import processes
from mtl_lightning.compare.running.launchers.hardware import cores, gpus
from mtl_lightning.compare.running.run.execute import execute
from mtl_lightning.stopping import of_what

_LOST = 255
"""Status that ``multiprocessing`` makes up where nobody can tell it any more."""
_GRACE = 60.0  # seconds for a run that was asked to stop to end its step and write a checkpoint


@dataclass
class _Process:
    run: Run
    process: Any
    slot: int
    started: float
    late: float | None = None


class LocalLauncher(Launcher):
    """Runs in processes that fork from one which has imported everything, each on cores or GPUs of its own.

    Args:
        settings: Of the comparison.
        devices: That a run takes.
        use_gpus: Whether runs are done on GPUs where there are any.
    """

    def __init__(self, settings: Settings, devices: int = 1, use_gpus: bool = True) -> None:
        self._settings = settings
        self._gpus = gpus() if use_gpus else []
        self._devices = devices
        self.workers = settings.workers or max(1, (len(self._gpus) or len(cores()) // settings.threads) // devices)
        self.threads = settings.threads
        if self._gpus:
            self.threads = max(settings.threads, len(cores()) // (self.workers * devices))
        self._limit = None if settings.time_limit is None else 60 * settings.time_limit
        self._processes: list[_Process] = []
        self._context = processes()

    def free(self) -> bool:
        return len(self._processes) < self.workers

    def start(self, run: Run, folder: Path) -> None:
        slot = next(n for n in range(self.workers) if n not in [process.slot for process in self._processes])
        options = (str(folder), self.threads, self._settings.keep_checkpoints, run.role)
        process = self._context.Process(target=_in_slot, args=(self._device(slot), self._cores(slot), options))
        process.start()
        self._processes.append(_Process(run, process, slot, time.time()))

    def _device(self, slot: int) -> str | None:
        """The GPUs of a slot, as ``CUDA_VISIBLE_DEVICES`` names them."""
        if not self._gpus:
            return None
        return ",".join(self._gpus[(slot * self._devices + n) % len(self._gpus)] for n in range(self._devices))

    def _cores(self, slot: int) -> list[int]:
        """The cores of a slot; none in particular on GPUs, and where another comparison may use those left over."""
        all_cores, threads = cores(), self.threads * self._devices
        used_up = not self._gpus and self.workers * threads == len(all_cores)
        return all_cores[slot * threads : (slot + 1) * threads] if used_up else []

    def ended(self, timeout: float) -> list[Ended]:
        connection.wait([process.process.sentinel for process in self._processes], timeout)
        self._end_late_ones()
        gone = [process for process in self._processes if not process.process.is_alive()]
        self._processes = [process for process in self._processes if process not in gone]
        return [self._verdict(process) for process in gone]

    def _end_late_ones(self) -> None:
        now = time.time()
        for process in self._processes:
            if self._limit is not None and now - process.started > self._limit and process.late is None:
                process.late = now
                process.process.terminate()
            elif process.late is not None and now - process.late > _GRACE:
                process.process.kill()

    def _verdict(self, process: _Process) -> Ended:
        seconds, code = time.time() - process.started, process.process.exitcode
        process.process.close()
        if process.late is not None:
            limit = self._settings.time_limit
            return Ended(process.run, "timeout", f"ended after the time limit of {limit:g} minutes", seconds)
        if code == 0:
            return Ended(process.run, "", "", seconds)
        server = ": the process that starts the runs was killed" if code == _LOST else ""
        return Ended(process.run, "failed", f"{of_what(code)}{server}", seconds)

    def running(self) -> list[Run]:
        return [process.run for process in self._processes]

    def stop(self) -> None:
        until = time.time() + _GRACE
        try:
            for process in self._processes:
                process.process.terminate()
            for process in self._processes:
                process.process.join(max(0.0, until - time.time()))
        finally:
            for process in self._processes:
                process.process.kill()


def _in_slot(device: str | None, kept_to: Sequence[int], options: tuple[str, int, bool, str]) -> None:
    os.setpgid(0, 0)  # or else a Ctrl-C reaches it twice, from the terminal and from `stop`
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    execute(*options, kept_to)
