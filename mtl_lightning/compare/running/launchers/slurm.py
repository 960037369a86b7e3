"""Runs as jobs of SLURM."""

import re
import time
from pathlib import Path
from typing import Any

from mtl_lightning.cluster.queue import Queue
from mtl_lightning.cluster.records import JobRecord, read_job
from mtl_lightning.cluster.submission import accepted, load_submitit
from mtl_lightning.compare.planning.plan import Run
from mtl_lightning.compare.planning.settings import Settings
from mtl_lightning.compare.running.launchers.base import Ended, Launcher
from mtl_lightning.compare.running.run.execute import execute
from mtl_lightning.errors import UserError

_WARNING = 90  # seconds before the time limit at which a run is asked to stop


class SlurmLauncher(Launcher):
    """Jobs of SLURM, one a run, by ``submitit`` (https://github.com/facebookincubator/submitit).

    A job that an earlier comparison left in the queue is waited for, not submitted again.

    Args:
        settings: Of the comparison; ``slurm`` holds submitit's parameters.
        folder: For submitit's own files.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        submitit = load_submitit("launcher slurm")
        self._settings = settings
        self._job = submitit.SlurmJob
        parameters: dict[str, Any] = {"cpus_per_task": settings.threads, **settings.slurm}
        if settings.time_limit is not None:
            parameters.setdefault("timeout_min", max(1, round(settings.time_limit)))
        if minutes := parameters.get("timeout_min"):
            parameters.setdefault("slurm_signal_delay_s", min(_WARNING, 15 * minutes))
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
            self._executor.update_parameters(**parameters)
        except (NameError, TypeError, RuntimeError) as error:
            raise UserError(f"slurm: {error}") from error
        self._queue = Queue()
        self._jobs: list[tuple[Run, Any, float]] = []

    def free(self) -> bool:
        return self._settings.workers is None or len(self._jobs) < self._settings.workers

    def start(self, run: Run, folder: Path) -> None:
        self._jobs.append((run, self._left(folder) or self._submitted(run, folder), time.time()))

    def _left(self, folder: Path) -> Any:
        """The job of an earlier comparison, if it is still to come or under way."""
        left = read_job(folder)
        return self._job(left.folder, left.id, range(left.tasks)) if left and self._queue.holds(left.id) else None

    def _submitted(self, run: Run, folder: Path) -> Any:
        options = (str(folder.resolve()), self._settings.threads, self._settings.keep_checkpoints, run.role)
        job = accepted(lambda: self._executor.submit(execute, *options, wait=-1), f"the job of {run.name}")
        JobRecord(job.job_id, str(self._executor.folder), job.num_tasks).write(folder)
        return job

    def ended(self, timeout: float) -> list[Ended]:
        until = time.time() + timeout
        while not (gone := [job for job in self._jobs if self._is_over(*job[1:])]) and time.time() < until:
            time.sleep(min(1.0, timeout))
        self._jobs = [job for job in self._jobs if job not in gone]
        return [self._verdict(*job) for job in gone]

    def _is_over(self, job: Any, started: float) -> bool:
        """Looks for what the job's processes left, or else into the queue; accounts are not kept everywhere."""
        return _left_results(job) or self._queue.lost(job.job_id, started)

    def _verdict(self, run: Run, job: Any, started: float) -> Ended:
        seconds, state = time.time() - started, self._queue.state(job.job_id) or "gone"
        error = job.exception() if _left_results(job) else f"it left no result; see {job.task(0).paths.stderr}"
        if error is None:
            return Ended(run, "", "", seconds)
        stopped = state in ("TIMEOUT", "CANCELLED", "PREEMPTED", "NODE_FAIL")
        said = re.findall(r"^\w[\w.]*(?:Error|Exception)\b.*$", str(error), re.MULTILINE) or [f"{error}".strip()]
        return Ended(run, "timeout" if stopped else "failed", f"job {job.job_id}, {state}: {said[-1]}", seconds)

    def running(self) -> list[Run]:
        return [run for run, _, _ in self._jobs]

    def stop(self) -> None:
        """Leaves the jobs in the queue: they need no one to watch them, and a resumed comparison finds them."""


def _left_results(job: Any) -> bool:
    return all(job.task(number).paths.result_pickle.exists() for number in range(job.num_tasks))
