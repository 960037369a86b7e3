"""Finds before anything is submitted what a job would only find when it runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtl_lightning.cluster.job import Job
from mtl_lightning.cluster.queue import Queue
from mtl_lightning.cluster.records import read_job
from mtl_lightning.errors import UserError
from mtl_lightning.submit.planning import run_folders
from mtl_lightning.submit.settings import Settings
from mtl_lightning.terminal import quoted_path


def checked_config(settings: Settings) -> Any:
    """The whole configuration of the run, of an array's first one.

    Raises:
        UserError: If that of any variant is wrong, or if files are missing that it reads.
    """
    from mtl_lightning.cli.data_files import missing_files
    from mtl_lightning.cli.resolved import resolved

    read = []
    for variant, changes in [*settings.variants.items()] or [("", [])]:
        config, problem = resolved([*settings.flags, *changes])
        if problem := problem or missing_files(config["data"]["datasets"]):
            raise UserError(f"variant '{variant}': {problem}" if variant else problem)
        read.append(config)
    return read[0]


def refuse_twice(job: Job, queue: Queue) -> None:
    """Refuses a job whose run is in the queue, or has been done.

    Raises:
        UserError: With what to do instead.
    """
    for folder in run_folders(job):
        if (left := read_job(folder)) and queue.holds(left.id):
            raise _in_the_queue(folder, left.id, str(queue.state(left.id)))
        if any(folder.glob("checkpoints/*.ckpt")) and not any("--ckpt_path" in option for option in job.options):
            raise UserError(
                f"trainer.default_root_dir: {folder} holds the checkpoints of a run; name another folder, or resume "
                f"it with `--ckpt_path {quoted_path(folder)}`"
            )


def refuse_same(command: tuple[str, ...], runs: Path, queue: Queue) -> None:
    """Refuses a command that is in the queue, whose runs are in a new folder each time.

    Args:
        command: What was given.
        runs: Folder of all runs of that name.
        queue: SLURM's.

    Raises:
        UserError: With what to do instead.
    """
    for folder in _submitted(runs):
        if (left := read_job(folder)) and left.command == command and queue.holds(left.id):
            raise _in_the_queue(folder, left.id, str(queue.state(left.id)))


def _submitted(runs: Path) -> Iterator[Path]:
    for pattern in ("*/job.json", "*/*/job.json"):
        yield from (file.parent for file in sorted(runs.glob(pattern)))


def _in_the_queue(folder: Path, number: str, state: str) -> UserError:
    return UserError(
        f"{folder} already has job {number}, {state}: nothing is submitted twice; wait for it, cancel it with "
        f"`scancel {number}`, or name another folder with `--trainer.default_root_dir`"
    )
