"""The first seconds of a job: what fails at once is said at once."""

import time
from pathlib import Path

from mtl_lightning.cluster.job import Job
from mtl_lightning.cluster.queue import OVER, Queue
from mtl_lightning.errors import UserError

_SECONDS = 3.0
_LOOK = 0.25
_LINES = 400  # letters of the log


def watch_start(job: Job, number: str) -> str:
    """Waits a moment; returns the state of the job, in SLURM's words.

    Raises:
        UserError: If it has failed, with the last line of its log.
    """
    ids, queue = ids_of(job, number), Queue(age=0.0)
    until = time.monotonic() + _SECONDS
    while True:
        states = {id: queue.state(id) or "" for id in ids}
        for id, state in states.items():
            if state in OVER and state not in ("COMPLETED", "CANCELLED", "PREEMPTED"):
                raise UserError(f"job {id} {state} at once: {last_line(log_of(job, id))}")
        if time.monotonic() > until or set(states.values()) <= set(OVER):
            return states[ids[0]] or "PENDING"
        time.sleep(_LOOK)


def ids_of(job: Job, number: str) -> list[str]:
    """SLURM's numbers of the runs of a job."""
    return [f"{number}_{index}" for index in range(len(job.members))] or [number]


def log_of(job: Job, id: str) -> Path:
    """The log of a run, by SLURM's number for it."""
    return job.folder / f"slurm-{id}.log"


def last_line(log: Path) -> str:
    """The last line of a log that says an error, or else the last one."""
    try:
        lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return f"it wrote no log to {log}: is that folder there on the nodes?"
    errors = [line for line in lines if line.startswith("error: ")]
    said = (errors or [line for line in lines if not line.startswith(("srun: ", "slurmstepd: "))] or lines)[-1:]
    return f"{said[0][:_LINES]}; its log: {log}" if said else f"its log, {log}, is empty"
