"""A job as a script for ``sbatch``."""

from collections.abc import Iterator

from mtl_lightning.cluster.job import Job
from mtl_lightning.errors import UserError
from mtl_lightning.terminal import quoted, quoted_line

_SRUN = ("srun", "--wait=0", "--kill-on-bad-exit=0")
"""Whatever a cluster has set: a process may end before another one that still uploads, or says why it fails."""


def sbatch_script(job: Job) -> str:
    """The script that ``sbatch`` takes.

    ``srun`` starts every process, and each gets the signal before the time limit itself: with ``B:``, only the shell
    would. A run ends its processes itself when one fails, is killed or hangs, and the first one says why and requeues
    the job when the others are gone: ``--kill-on-bad-exit=1`` would come in between. ``--wait`` would end an upload.

    Raises:
        UserError: If the name of the folder means something else to SLURM.
    """
    if {"%", "\\"} & set(str(job.folder)):
        raise UserError(
            f"trainer.default_root_dir: SLURM reads '%' and '\\' in the folder of a log as its own, found "
            f"'{job.folder}'; name another folder"
        )
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in _options(job)), "", *_members(job), _srun(job)]
    return "\n".join(lines) + "\n"


def _options(job: Job) -> Iterator[str]:
    gpus = f"{job.gpu_type}:{job.gpus_per_node}" if job.gpu_type else job.gpus_per_node
    given = {
        "job-name": job.name,
        "nodes": job.nodes,
        "ntasks-per-node": job.tasks_per_node,
        "gpus-per-node": gpus if job.gpus_per_node else None,
        "cpus-per-task": job.cpus_per_task,
        "mem": job.memory,
        "time": job.time,
        "partition": job.partition,
        "account": job.account,
        "qos": job.qos,
        "constraint": job.constraint,
        "array": _array(job) if job.members else None,
        "output": job.folder / ("slurm-%A_%a.log" if job.members else "slurm-%j.log"),
        "open-mode": "append",
        "signal": job.warning,
    }
    yield from (f"--{name}={quoted(str(value))}" for name, value in given.items() if value is not None)
    yield "--requeue" if job.requeue else "--no-requeue"
    yield from job.sbatch


def _array(job: Job) -> str:
    at_once = "" if job.at_once is None else f"%{job.at_once}"
    return f"0-{len(job.members) - 1}{at_once}"


def _members(job: Job) -> list[str]:
    """The options of each run of an array, by its number."""
    if not job.members:
        return []
    cases = [f"{number}) set -- {quoted_line(member.options)} ;;" for number, member in enumerate(job.members)]
    return ['case "$SLURM_ARRAY_TASK_ID" in', *cases, "esac"]


def _srun(job: Job) -> str:
    """SLURM's ``srun`` does not take the number of cores over from ``sbatch``."""
    cores = [] if job.cpus_per_task is None else [f"--cpus-per-task={job.cpus_per_task}"]
    line = quoted_line([*_SRUN, *cores, job.python, *job.fit])
    return f'{line} "$@"' if job.members else line
