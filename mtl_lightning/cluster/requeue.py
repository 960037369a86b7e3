"""Puts a job of SLURM back into the queue that was warned of its time limit, or is preempted."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mtl_lightning.cluster.queue import said
from mtl_lightning.errors import shown
from mtl_lightning.writing import CannotWriteError, write_whole

FILE = "requeues.json"
"""In the folder of a run: how often, and why, its jobs were requeued."""

_REASONS = {"SIGUSR1": "time limit", "SIGUSR2": "time limit", "SIGTERM": "preemption"}
_PATIENCE = 60.0
"""Seconds for SLURM's controller to answer, twice: it is busy when it preempts many jobs."""

_TYPES = {"time_limits": (int,), "preemptions": (int,), "job": (str,), "progress": (int, type(None))}


@dataclass(frozen=True)
class History:
    """How often the jobs of a run were requeued.

    Attributes:
        time_limits: By a warning (SIGUSR1, SIGUSR2) before the time limit.
        preemptions: By SIGTERM.
        job: That was requeued last.
        progress: Something that changes with each checkpoint, as of then.
    """

    time_limits: int = 0
    preemptions: int = 0
    job: str = ""
    progress: int | None = None

    @classmethod
    def read(cls, folder: Path) -> "History":
        """That of the run in a folder; a new one where there is none.

        Raises:
            ValueError: If the file holds something else; the message says what.
        """
        try:
            found = json.loads((folder / FILE).read_text("utf-8"))
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise ValueError(f"it cannot be read: {error.strerror}") from error
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        for name, value in found.items() if isinstance(found, dict) else [("all of it", found)]:
            if type(value) not in _TYPES.get(name, ()):
                raise ValueError(f"{name} is {shown(value)}")
        return cls(**found)


def job_id() -> str | None:
    """The name of this job, or of this task of an array, to ``scontrol``; null outside of SLURM.

    The number of one task of an array is that of the whole array too.
    """
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def requeue(folder: Path, number: int, progress: int | None, scontrol: Callable[..., str] | None = None) -> str | None:
    """Requeues this job, if it was stopped by a signal that means this; SLURM then ends all its processes.

    A job that has saved nothing since it was requeued before is not: it would be forever.

    Args:
        folder: Of the run, where the history is kept.
        number: Of the signal.
        progress: Something that changes with each checkpoint.
        scontrol: Runs SLURM's command in place of the real one.

    Returns:
        What to tell the user; null if there is nothing to requeue.
    """
    job, reason = job_id(), _REASONS.get(signal.Signals(number).name)
    if job is None or reason is None:
        return None
    try:
        before, note = History.read(folder), ""
    except ValueError as error:
        before, note = History(), f"; {FILE} is written anew ({' '.join(str(error).split())})"
    ask = scontrol or _scontrol
    if before.job == job and before.progress == progress:
        return (
            f"job {job} is not requeued: it has saved no step since it was requeued before; give it more time, or "
            "save more often"
        )
    try:
        facts = dict(re.findall(r"(\w+)=(\S+)", ask("show", "job", "-o", job)))
        if refusal := _refusal(facts):
            return f"job {job} is not requeued: {refusal}"
        reason = _REASONS["SIGUSR1"] if _is_over(facts) else reason
        write_whole(folder / FILE, json.dumps(asdict(_counted(before, reason, job, progress)), indent=1) + "\n")
        ask("requeue", job)
    except (OSError, subprocess.SubprocessError, CannotWriteError) as error:
        return f"job {job} is not requeued: {said(error)}"
    return f"job {job} is requeued ({reason}): it resumes from there by itself{note}"


def _counted(before: History, reason: str, job: str, progress: int | None) -> History:
    now = replace(before, job=job, progress=progress)
    if reason == "preemption":
        return replace(now, preemptions=now.preemptions + 1)
    return replace(now, time_limits=now.time_limits + 1)


def _is_over(facts: Mapping[str, str]) -> bool:
    """Whether a job has come to its time limit; it has some seconds left, ``KillWait`` in ``slurm.conf``."""
    return facts.get("Reason") == "TimeLimit"


def _refusal(facts: Mapping[str, str]) -> str | None:
    """Why SLURM would not requeue a job, or should not: it would bring back one that was cancelled.

    Args:
        facts: What ``scontrol show job`` says of it.
    """
    if facts.get("BatchFlag") == "0":
        return "it was not submitted by sbatch"
    if facts.get("Requeue") == "0":
        return "it was submitted with --no-requeue, or SLURM is set up so; submit it with `sbatch --requeue`"
    state = facts.get("JobState", "RUNNING")
    if state in ("RUNNING", "SUSPENDED") or _is_over(facts):
        return None
    return f"it is {state}: somebody has cancelled it, or SLURM ends it"


def _scontrol(*arguments: str) -> str:
    done = subprocess.run(["scontrol", *arguments], capture_output=True, text=True, timeout=_PATIENCE, check=True)
    return done.stdout
