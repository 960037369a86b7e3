"""Where the files of a run go."""

import os
import time
from itertools import count
from pathlib import Path

RUN_DIR_VARIABLE = "MTL_LIGHTNING_RUN_DIR"


def run_directory(name: str, given: str | None, checkpoint: str | None) -> Path:
    """The folder of a run: the one given, that of the checkpoint it goes on from, or a new ``runs/<name>/<time>``.

    Processes that the first one starts find it in the environment.
    """
    if "LOCAL_RANK" in os.environ and RUN_DIR_VARIABLE in os.environ:
        return Path(os.environ[RUN_DIR_VARIABLE])
    if given is not None:
        return Path(given)
    if checkpoint is not None and Path(checkpoint).parent.name == "checkpoints":
        return Path(checkpoint).parent.parent
    if job := os.environ.get("SLURM_JOB_ID"):  # the same after a requeue, and for all its processes
        return Path("runs", name, f"slurm-{job}-{os.environ.get('SLURM_STEP_ID', '0')}")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (stamp if number == 1 else f"{stamp}-{number}" for number in count(1))
    return next(folder for folder in (Path("runs", name, n) for n in names) if not folder.exists())
