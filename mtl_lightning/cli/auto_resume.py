"""A command that is started again resumes what it did before."""

import os
import re
from pathlib import Path

from mtl_lightning.checkpoints import find_checkpoint

AUTO = "auto"
"""The ``--ckpt_path`` of a run that resumes its folder's last checkpoint, if there is one, and starts if not."""


def resumes_itself(checkpoint: str | None, requeued_too: bool = True) -> bool:
    """Whether a run is to look for its own last checkpoint.

    Args:
        checkpoint: The ``--ckpt_path``.
        requeued_too: Whether a job that SLURM has requeued needs none.
    """
    return checkpoint == AUTO or (requeued_too and is_requeued() and checkpoint is None)


def is_requeued() -> bool:
    """Whether this is a job that SLURM has put back into its queue and started again."""
    return "SLURM_JOB_ID" in os.environ and os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


def own_checkpoint(folder: Path) -> str | None:
    """The last checkpoint in a run's folder; null: there is none yet.

    Raises:
        UserError: If it is not one file, but in parts of a model that was split over processes.
    """
    if not (folder / "checkpoints" / "last.ckpt").exists():
        return None
    return str(find_checkpoint(str(folder), "", last=True))


def job_name() -> str | None:
    """What this job of SLURM or torchrun is called each time it is started; null: it is neither, or has no name."""
    if job := os.environ.get("SLURM_JOB_ID"):
        return f"slurm-{job}-{os.environ.get('SLURM_STEP_ID', '0')}"
    torchrun = os.environ.get("TORCHELASTIC_RUN_ID", "none")  # which means that nobody has chosen one
    return f"torchrun-{torchrun}" if torchrun != "none" and re.fullmatch(r"[\w-]+", torchrun) else None
