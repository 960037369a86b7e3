"""SLURM's queue."""

import subprocess
import time

from mtl_lightning.errors import UserError

_COMMAND = ("squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i %T")
_AGE = 5.0  # seconds for which an answer is good enough
_SETTLED = 20.0  # seconds after the end of a job until what it wrote is seen on other machines
OVER = (
    "COMPLETED",
    "FAILED",
    "TIMEOUT",
    "CANCELLED",
    "PREEMPTED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "DEADLINE",
    "BOOT_FAIL",
)


class Queue:
    """The states of this user's jobs, asked for at most every few seconds.

    Args:
        age: Seconds for which an answer is good enough; null: five.
    """

    def __init__(self, age: float | None = None) -> None:
        self._age = age
        self._states: dict[str, str] = {}
        self._left: dict[str, float] = {}
        self._answered = float("-inf")
        self._asked = float("-inf")
        self._silence: str | None = "not asked"

    def holds(self, job: str) -> bool:
        """Whether a job is still to come or under way.

        Raises:
            UserError: If SLURM has not answered yet: the job may be there, and must not be submitted again.
        """
        held = self._shows(job)
        if self._silence is not None:
            raise UserError(
                f"slurm does not say whether job {job} is still in the queue ({self._silence}): nothing is submitted "
                f"twice; try again when `squeue --me` answers"
            )
        return held

    def _shows(self, job: str) -> bool:
        state = self.state(job)
        return state is not None and state not in OVER

    def lost(self, job: str, since: float) -> bool:
        """Whether a job that was submitted at some time (as :func:`time.time` has it) left the queue a while ago."""
        if self._shows(job) or self._answered < since:
            self._left.pop(job, None)
            return False
        return time.time() > self._left.setdefault(job, time.time()) + _SETTLED

    def state(self, job: str) -> str | None:
        """The state of a job, in SLURM's words; None where SLURM knows nothing of it any more."""
        if time.time() > self._asked + (_AGE if self._age is None else self._age):
            self._ask()
        return self._states.get(job)

    def _ask(self) -> None:
        self._asked = time.time()
        try:
            answer = subprocess.run(_COMMAND, capture_output=True, text=True, timeout=60, check=True).stdout
        except (OSError, subprocess.SubprocessError) as error:  # SLURM is busy: what was known before stands
            self._silence = self._silence and said(error)
            return
        self._states = dict(line.split(maxsplit=1) for line in answer.splitlines())
        self._answered, self._silence = self._asked, None


def said(error: Exception) -> str:
    """In one line, what a command of SLURM has said that failed."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd[0]}: {' '.join(str(error.stderr).split()) or f'status {error.returncode}'}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{error.cmd[0]}: no answer within {error.timeout:.0f} s"
    if isinstance(error, FileNotFoundError):
        return f"there is no `{error.filename}` here"
    return " ".join(str(error).split())
