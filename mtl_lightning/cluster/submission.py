"""Submission to SLURM by ``submitit`` (https://github.com/facebookincubator/submitit)."""

import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from mtl_lightning.cluster.job import Job
from mtl_lightning.cluster.sbatch import sbatch_script
from mtl_lightning.errors import UserError

Submitted = TypeVar("Submitted")

_UNSUBMITTED = ".submission_file_*.sh"
"""What submitit calls a script until it knows the job's number, and its link to it afterwards."""

_SILENT = re.compile(r"timed out|Unable to contact", re.IGNORECASE)


def load_submitit(who: str) -> Any:
    """The module.

    Args:
        who: Needs it, for the message.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError(f"{who} needs submitit: pip install 'mtl-lightning[cluster]'") from error
    return submitit


def accepted(submit: Callable[[], Submitted], what: str) -> Submitted:
    """What a submission returns.

    Args:
        submit: Submits.
        what: Is submitted, for the message.

    Raises:
        UserError: If SLURM refuses it, or does not answer, in SLURM's own words.
    """
    try:
        with redirect_stderr(StringIO()):  # submitit prints what sbatch says there, too
            return submit()
    except (RuntimeError, OSError) as error:
        said = re.findall(r"error: (.*)", str(error)) or [str(error)]
        reasons = [line.removeprefix("Batch job submission failed: ") for line in said]
        text = "; ".join(dict.fromkeys(reasons))
        if _SILENT.search(text):
            raise UserError(
                f"slurm has not answered whether it takes {what}: {text}; look with `squeue --me` before it is "
                "submitted again"
            ) from error
        raise UserError(f"slurm refuses {what}: {text}") from error


def refuse_without_slurm() -> None:
    """Raises :class:`UserError` where there is no SLURM."""
    for program in ("sbatch", "srun"):
        if shutil.which(program) is None:
            raise UserError(
                f"submit: there is no `{program}` on this machine: run it on a login node of a SLURM cluster, "
                "or print what would be submitted with `--dry_run`"
            )


def submit(job: Job) -> str:
    """Submits a job, whose script is then in its folder; returns SLURM's number for it.

    Raises:
        UserError: If SLURM refuses it.
    """
    executor = _executor(job.folder)
    try:
        return str(accepted(lambda: executor._submit_command(sbatch_script(job)), f"the job {job.name}").job_id)
    finally:
        for script in job.folder.glob(_UNSUBMITTED):
            script.unlink()


def _executor(folder: Path) -> Any:
    """What submits a script as it is: submitit's own would run a pickled function."""
    base: Any = load_submitit("submit").SlurmExecutor

    class Scripts(base):  # type: ignore[misc]
        def _make_submission_file_text(self, command: str, uid: str) -> str:
            return command

    return Scripts(folder)
