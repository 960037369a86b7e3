"""What a run's folder says of the job that was submitted for it, so that nothing is submitted twice."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mtl_lightning.errors import UserError
from mtl_lightning.writing import write_whole

JOB = "job.json"


@dataclass(frozen=True)
class JobRecord:
    """A job that was submitted.

    Attributes:
        id: SLURM's: ``12``, or ``12_0`` of an array.
        folder: Of submitit's files.
        tasks: Number of its processes.
        command: What was submitted, if it was a command.
    """

    id: str
    folder: str
    tasks: int
    command: tuple[str, ...] = ()

    def write(self, run_dir: Path) -> None:
        """Leaves it in a run's folder."""
        write_whole(run_dir / JOB, json.dumps(asdict(self)))


def read_job(run_dir: Path) -> JobRecord | None:
    """The job that was submitted for a run; None if there was none.

    Raises:
        UserError: If what is written there is no job.
    """
    file = run_dir / JOB
    try:
        left = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        left = None
    left = left if isinstance(left, dict) else {}
    number, place, tasks = (left.get(key) for key in ("id", "folder", "tasks"))
    if not isinstance(number, str) or not isinstance(place, str) or not isinstance(tasks, int):
        raise UserError(f"{file} is broken: it names no job; remove it, and a new one is submitted")
    command = left.get("command")
    return JobRecord(number, place, tasks, tuple(map(str, command)) if isinstance(command, list) else ())
