"""Runs as jobs of SLURM."""

import re
import time
from pathlib import Path
from typing import Any

from mtl_lightning.compare.execute import execute
from mtl_lightning.compare.launchers.base import Ended, Launcher
from mtl_lightning.compare.plan import Run
from mtl_lightning.compare.settings import Settings
from mtl_lightning.errors import UserError


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
