"""What a job is, whatever runs it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mtl_lightning.errors import UserError

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")
_LEAD = 120
"""Seconds before the time limit at which a job is told, if the limit is not short."""


@dataclass(frozen=True)
class Member:
    """One of the runs of an array.

    Attributes:
        label: What tells it from the others: ``seed-0``.
        options: Of ``fit``, beside those that all have.
    """

    label: str
    options: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a job takes of a cluster, and how SLURM treats it.

    Attributes:
        nodes: Number of machines.
        gpus_per_node: GPUs of each node; 0: the job runs on CPUs.
        gpu_type: What the cluster calls the GPUs; null: any will do.
        cpus_per_task: Cores of each process; null: what the cluster gives.
        time: Limit, as SLURM writes it: ``4:00:00``, ``2-12``, or minutes; null: the partition's.
        partition: Of SLURM; null: its default. So are the account and the rest:
        account: That pays.
        qos: Quality of service.
        constraint: What the nodes must have.
        memory: Of each node, such as ``64G``.
        signal: Signal to all processes before the time limit; ``USR1@120`` is 120 s before; null: that, or sooner.
        requeue: Whether SLURM may requeue the job when it is preempted or a node fails.
        at_once: Runs of an array at the same time; null: all.
        sbatch: Further options of ``sbatch``, as they are.
    """

    nodes: int = 1
    gpus_per_node: int = 0
    gpu_type: str | None = None
    cpus_per_task: int | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    memory: str | None = None
    signal: str | None = None
    requeue: bool = True
    at_once: int | None = None
    sbatch: Sequence[str] = ()

    def resources(self) -> dict[str, Any]:
        """These by name."""
        return {each.name: getattr(self, each.name) for each in fields(Resources)}


@dataclass(frozen=True)
class Job(Resources):
    """A training run on one or more nodes, or an array of such runs.

    Attributes:
        name: What the queue calls it.
        options: Of ``mtl-lightning fit``, the same for all runs.
        folder: For the log and the script.
        tasks_per_node: Processes on each node.
        members: Runs of an array; none: the job is a single run.
        python: What starts Python on the nodes.
    """

    name: str
    options: tuple[str, ...]
    folder: Path
    tasks_per_node: int = 1
    members: tuple[Member, ...] = ()
    python: str = "python"

    @property
    def fit(self) -> tuple[str, ...]:
        """Arguments of Python that start a process of the run."""
        return ("-m", "mtl_lightning", "fit", *self.options)

    @property
    def warning(self) -> str:
        """Signal and time, as ``sbatch --signal`` takes them; a short job is told after three quarters of its time."""
        if self.signal is not None:
            return self.signal
        limit = None if self.time is None else seconds_of(self.time)
        return f"USR1@{_LEAD if not limit else min(_LEAD, limit // 4)}"


def seconds_of(time: str) -> int:
    """Seconds of a time limit as SLURM writes it: minutes, ``minutes:seconds``, ``hours:minutes:seconds``, ``days-…``.

    Raises:
        UserError: If it is none.

    >>> seconds_of("90"), seconds_of("4:00:00"), seconds_of("1-12")
    (5400, 14400, 129600)
    """
    found = _TIME.fullmatch(time)
    if found is None:
        raise UserError(f"time: expected minutes, `hours:minutes:seconds` or `days-hours`, found '{time}'")
    parts = [int(part) for part in found["parts"].split(":")]
    if found["days"] is None:
        parts = [0, *parts, 0][:3] if len(parts) == 1 else [0, *parts] if len(parts) == 2 else parts
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    return ((24 * int(found["days"] or 0) + hours) * 60 + minutes) * 60 + seconds
