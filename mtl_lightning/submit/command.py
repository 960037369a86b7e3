"""``python -m mtl_lightning submit``: from options to a job in the queue."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from mtl_lightning.cluster import Job, Queue, sbatch_script, skypilot_task, torchrun_lines
from mtl_lightning.cluster.records import JobRecord
from mtl_lightning.cluster.submission import load_submitit, refuse_without_slurm, submit
from mtl_lightning.errors import UserError
from mtl_lightning.names import checked_path
from mtl_lightning.paths import expanded
from mtl_lightning.stopping import SIGNALS
from mtl_lightning.submit.check import checked_config, refuse_same, refuse_twice
from mtl_lightning.submit.options import parse
from mtl_lightning.submit.planning import make_job, run_folders
from mtl_lightning.submit.settings import HELP
from mtl_lightning.submit.watching import ids_of, log_of, watch_start
from mtl_lightning.terminal import quoted_path, say
from mtl_lightning.terminal.commands import run_command
from mtl_lightning.writing import writing

_FOLDER = "trainer.default_root_dir"
_PATIENCE = 300.0
"""Seconds for another submission to a folder to end: it asks SLURM twice, which may take a minute each."""
_WRITERS = {"sbatch": sbatch_script, "torchrun": torchrun_lines, "skypilot": skypilot_task}


def run(arguments: Sequence[str]) -> int:
    """Runs ``submit`` and prints a mistake in the input as one line.

    Args:
        arguments: After ``submit``.

    Returns:
        The exit status: 0; 2 for a mistake in the input, or if the job is refused or fails at once.
    """
    return run_command(arguments, HELP, partial(_submit, tuple(arguments)))


def _submit(command: tuple[str, ...]) -> int:
    settings = parse(command)
    if not settings.dry_run:
        refuse_without_slurm()
        load_submitit("submit")
    config = checked_config(settings)
    name, given = str(config["name"]), config["trainer"]["default_root_dir"]
    given = given and expanded(given, _FOLDER)
    runs = Path("runs", checked_path("name", name, "runs"))
    if settings.dry_run:
        job = make_job(settings, name, Path(given) if given else runs / time.strftime("%Y%m%d-%H%M%S"))
        say(_WRITERS[settings.format](job).rstrip("\n"))
        return 0
    with _alone(Path(given) if given else runs, () if given else runs.parents[:-1]):
        queue = Queue(age=1.0)
        if given is None:
            refuse_same(command, runs, queue)
        job = make_job(settings, name, Path(given) if given else _new_folder(runs))
        try:
            refuse_twice(job, queue)
            number = _start(job, command)
        finally:
            _remove_empty(job.folder)
    _tell(job, number)
    return 0


@contextmanager
def _alone(place: Path, parents: Sequence[Path]) -> Iterator[None]:
    """Lets one submission at a time look into a folder and submit, where the file system keeps locks.

    Args:
        place: Where what was submitted is noted.
        parents: Above it, which are removed with it if they are empty in the end.

    Raises:
        UserError: If it cannot be written, or another submission does not end.
    """
    with writing(place, "" if parents else _FOLDER):
        place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / ".submitting", timeout=_PATIENCE)
    try:
        lock.acquire()
    except Timeout as error:
        found = f"{place}: another `submit` has not ended there in {_PATIENCE:.0f} seconds"
        raise UserError(f"{found}; try again when it has, or end the process that holds {lock.lock_file}") from error
    except OSError:
        pass
    try:
        yield
    finally:
        if lock.is_locked:
            (place / ".submitting").unlink(missing_ok=True)
        lock.release()
        _remove_empty(place, *parents)


def _remove_empty(*folders: Path) -> None:
    with suppress(OSError):  # it is in use, or not there
        for folder in folders:
            folder.rmdir()


def _start(job: Job, command: tuple[str, ...]) -> str:
    """Submits a job and notes it in the folders of its runs; returns SLURM's number for it."""
    with SIGNALS.deferred("Stopping once the job is noted"):
        job.folder.mkdir(parents=True, exist_ok=True)
        number = submit(job)
        for folder, id in zip(run_folders(job), ids_of(job, number), strict=True):
            JobRecord(id, str(job.folder), job.nodes * job.tasks_per_node, command).write(folder)
    return number


def _tell(job: Job, number: str) -> None:
    runs = f"an array of {len(job.members)} runs, each on " if job.members else ""
    say(f"Submitted job {number}: {runs}{_size(job)}")
    log = log_of(job, f"{number}_*" if job.members else number)
    shown = f"{quoted_path(log.parent)}/{log.name}"
    say(f"  runs    {job.folder}\n  log     {shown}\n  watch   tail -F {shown}\n  queue   squeue --job {number}")
    say(f"  cancel  scancel {number}")
    say(f"State: {watch_start(job, number).lower()}")


def _size(job: Job) -> str:
    """How much of the cluster a run takes.

    >>> _size(Job("a", (), Path("runs"), nodes=2, tasks_per_node=4, gpus_per_node=4))
    '2 nodes, 4 processes and 4 GPUs on each'
    """
    nodes = f"{job.nodes} node{'s' * (job.nodes > 1)}"
    processes = f"{job.tasks_per_node} process{'es' * (job.tasks_per_node > 1)}"
    gpus = f" and {job.gpus_per_node} GPU{'s' * (job.gpus_per_node > 1)}" if job.gpus_per_node else ""
    return f"{nodes}, {processes}{gpus} on each{'' if gpus else ', on CPUs'}"


def _new_folder(runs: Path) -> Path:
    """A new folder, which no other command takes."""
    now = time.strftime("%Y%m%d-%H%M%S")
    for number in count(1):
        folder = runs / (now if number == 1 else f"{now}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"{runs}: no folder can be created there: {error.strerror}") from error
    raise AssertionError("some number is free")
