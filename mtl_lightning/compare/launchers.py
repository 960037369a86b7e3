"""Where runs are done: in processes of this machine, or as jobs of SLURM."""

import multiprocessing
import os
import re
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from mtl_lightning.compare.configs import get_value
from mtl_lightning.compare.execute import execute
from mtl_lightning.compare.plan import Plan, Run
from mtl_lightning.compare.settings import Settings
from mtl_lightning.errors import UserError

_GRACE = 60.0  # seconds for a run that was asked to stop to end its step and write a checkpoint
_PRELOADED = ["mtl_lightning.cli", "mtl_lightning.compare.recorder", "sklearn.datasets"]  # the last one: the demo


@dataclass(frozen=True)
class Ended:
    """A run that has ended.

    Attributes:
        run: Which.
        status: What became of it where it could not write that down: ``timeout``, ``failed``, or nothing.
        message: About that.
        seconds: From its start.
    """

    run: Run
    status: str
    message: str
    seconds: float


class Launcher(ABC):
    """Starts runs and tells when they have ended."""

    @abstractmethod
    def free(self) -> bool:
        """Whether another run may start."""

    @abstractmethod
    def start(self, run: Run, folder: Path) -> None:
        """Starts a run whose folder is prepared."""

    @abstractmethod
    def ended(self, timeout: float) -> list[Ended]:
        """The runs that have ended since; waits for one for so many seconds."""

    @abstractmethod
    def running(self) -> list[Run]:
        """The runs that are under way."""

    @abstractmethod
    def stop(self) -> None:
        """Asks all runs to stop with a checkpoint, and waits for it."""


@dataclass
class _Process:
    run: Run
    process: Any
    slot: int
    started: float
    late: float | None = None


class LocalLauncher(Launcher):
    """Runs in processes that fork from one which has imported everything, each on cores or a GPU of its own.

    Args:
        settings: Of the comparison.
        devices: That a run takes.
    """

    def __init__(self, settings: Settings, devices: int = 1) -> None:
        self._settings = settings
        self._gpus = gpus()
        self._devices = devices
        self.workers = settings.workers or max(1, (len(self._gpus) or len(_cores()) // settings.threads) // devices)
        self._limit = None if settings.time_limit is None else 60 * settings.time_limit
        self._processes: list[_Process] = []
        self._context = processes()

    def free(self) -> bool:
        return len(self._processes) < self.workers

    def start(self, run: Run, folder: Path) -> None:
        slot = next(n for n in range(self.workers) if n not in [process.slot for process in self._processes])
        options = (str(folder), self._settings.threads, self._settings.keep_checkpoints, run.role)
        process = self._context.Process(target=_in_slot, args=(self._device(slot), self._cores(slot), options))
        process.start()
        self._processes.append(_Process(run, process, slot, time.time()))

    def _device(self, slot: int) -> str | None:
        """The GPUs of a slot, as ``CUDA_VISIBLE_DEVICES`` names them."""
        if not self._gpus:
            return None
        return ",".join(self._gpus[(slot * self._devices + n) % len(self._gpus)] for n in range(self._devices))

    def _cores(self, slot: int) -> list[int]:
        """The cores of a slot; none in particular where there are not enough."""
        cores, threads = _cores(), self._settings.threads * self._devices
        return cores[slot * threads : (slot + 1) * threads] if self.workers * threads <= len(cores) else []

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
        killed = f"was killed by signal {-code}" + (": out of memory?" if code == -9 else "")
        return Ended(process.run, "failed", killed if code < 0 else f"ended with status {code}", seconds)

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


class SlurmLauncher(Launcher):
    """Jobs of SLURM, one a run, by ``submitit`` (https://github.com/facebookincubator/submitit).

    Args:
        settings: Of the comparison; ``slurm`` holds submitit's parameters.
        folder: For submitit's own files.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UserError("launcher slurm needs submitit: pip install 'mtl-lightning[cluster]'") from error
        self._settings = settings
        parameters: dict[str, Any] = {"cpus_per_task": settings.threads, **settings.slurm}
        if settings.time_limit is not None:
            parameters.setdefault("timeout_min", max(1, round(settings.time_limit)))
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
            self._executor.update_parameters(**parameters)
        except (NameError, TypeError, RuntimeError) as error:
            raise UserError(f"slurm: {error}") from error
        self._jobs: list[tuple[Run, Any, float]] = []

    def free(self) -> bool:
        return self._settings.workers is None or len(self._jobs) < self._settings.workers

    def start(self, run: Run, folder: Path) -> None:
        options = (str(folder.resolve()), self._settings.threads, self._settings.keep_checkpoints, run.role)
        job = self._executor.submit(execute, *options, wait=-1)  # one that an earlier comparison left may be at it
        self._jobs.append((run, job, time.time()))

    def ended(self, timeout: float) -> list[Ended]:
        until = time.time() + timeout
        while not (gone := [job for job in self._jobs if job[1].done()]) and time.time() < until:
            time.sleep(min(1.0, timeout))
        self._jobs = [job for job in self._jobs if job not in gone]
        return [self._verdict(*job) for job in gone]

    def _verdict(self, run: Run, job: Any, started: float) -> Ended:
        seconds, error = time.time() - started, job.exception()
        if error is None:
            return Ended(run, "", "", seconds)
        status = "timeout" if "TIMEOUT" in str(job.state).upper() else "failed"
        said = re.findall(r"^\w[\w.]*(?:Error|Exception)\b.*$", str(error), re.MULTILINE) or [f"{error}".strip()]
        return Ended(run, status, f"job {job.job_id}, {job.state}: {said[-1]}", seconds)

    def running(self) -> list[Run]:
        return [run for run, _, _ in self._jobs]

    def stop(self) -> None:
        """Leaves the jobs in the queue: they need no one to watch them, and a comparison that goes on finds them."""


def launcher(plan: Plan, folder: Path) -> Launcher:
    """What runs a comparison."""
    if plan.settings.launcher == "slurm":
        return SlurmLauncher(plan.settings, folder / "slurm")
    devices = get_value(plan.base, "trainer.devices")
    return LocalLauncher(plan.settings, len(devices) if isinstance(devices, list) else max(1, _whole(devices)))


def prepare_processes(settings: Settings) -> None:
    """Sets what libraries read from the environment when they are imported, before any process is started."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(settings.threads)


def processes() -> Any:
    """How processes are started: they fork from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def gpus() -> Sequence[str]:
    """The GPUs of this machine that may be used, by what ``CUDA_VISIBLE_DEVICES`` calls them; needs no torch."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]


def _in_slot(device: str | None, cores: Sequence[int], options: tuple[str, int, bool, str]) -> None:
    os.setpgid(0, 0)  # or else a Ctrl-C reaches it twice, from the terminal and from `stop`
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    execute(*options, cores)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 1


def _cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
