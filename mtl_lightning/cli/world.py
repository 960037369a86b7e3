"""Which processes make up a run, where something else has started them: torchrun, srun, or a script by variables."""

import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from mtl_lightning.errors import UserError

STARTED_BY = "MTL_LIGHTNING_STARTED_BY"
"""Variable with the process that has started others, for these."""


SRUN = "srun"

VARIABLES = "WORLD_SIZE"
"""What starts processes where a script says by variables which one is which."""

NODES = "NODE_RANK"
"""What tells machines apart, on each of which a user starts the command once."""


@dataclass(frozen=True)
class World:
    """The processes of a run, of which this is one.

    Attributes:
        starter: What has started them, as a user knows it.
        rank: Of this process, from 0.
        size: How many there are.
        nodes: On how many machines; null where that is not said.
        option: How the starter is told how many processes run on each machine.
    """

    starter: str
    rank: int
    size: int
    nodes: int | None
    option: str


def world(environ: Mapping[str, str]) -> World | None:
    """The processes that were started with this one; null if it was started alone, or by the first one of its run.

    Raises:
        UserError: If not as many run on each machine.
    """
    if "TORCHELASTIC_RUN_ID" in environ:
        return _of_torchrun(environ)
    if "SLURM_STEP_ID" in environ and not _is_interactive(environ):
        return _of_srun(environ)
    if {"LOCAL_RANK", "WORLD_SIZE"} <= environ.keys() and environ.get(STARTED_BY) != str(os.getppid()):
        return World(VARIABLES, _number(environ, "RANK", "LOCAL_RANK"), _number(environ, "WORLD_SIZE"), None, VARIABLES)
    return None


def of_nodes(nodes: int, environ: Mapping[str, str]) -> World:
    """The first processes of several machines, each of which starts the others of its machine later."""
    return World(NODES, _number(environ, "NODE_RANK"), nodes, nodes, "--trainer.devices")


def is_first(environ: Mapping[str, str]) -> bool:
    """Whether this is the first process of a run, which speaks for all.

    Where torchrun runs as a task of SLURM, its own ranks count.
    """
    if "TORCHELASTIC_RUN_ID" in environ:
        names: tuple[str, ...] = ("RANK",)
    else:
        names = ("RANK", "SLURM_PROCID", "LOCAL_RANK", *(("NODE_RANK",) if "MASTER_ADDR" in environ else ()))
    return not any(int(environ.get(name, "0")) for name in names)


def complete(environ: MutableMapping[str, str]) -> None:
    """Sets what a step of SLURM lets its processes know in another way than Lightning asks for it.

    Lightning takes the numbers of the job for those of the step, gives all steps of a job the same port, and knows no
    tasks without ``--ntasks-per-node``.
    """
    if (found := world(environ)) is None or found.starter != SRUN or found.nodes is None:
        return
    environ["SLURM_NTASKS_PER_NODE"] = str(found.size // found.nodes)
    environ["SLURM_NNODES"] = str(found.nodes)
    nodes = environ.get("SLURM_STEP_NODELIST", "127.0.0.1")
    environ.setdefault("MASTER_ADDR", SLURMEnvironment.resolve_root_node_address(nodes))
    number = int(environ["SLURM_JOB_ID"]) + 997 * int(environ["SLURM_STEP_ID"])
    environ.setdefault("MASTER_PORT", str(15000 + number % 10000))


def unstarted_tasks(environ: Mapping[str, str]) -> int:
    """How many tasks a job of SLURM has of which this process is none, since ``srun`` was forgotten; 0 for none."""
    inside = "SLURM_JOB_ID" in environ and not {"SLURM_STEP_ID", "TORCHELASTIC_RUN_ID"} & environ.keys()
    tasks = int(environ.get("SLURM_NTASKS", "1")) if inside and not _is_interactive(environ) else 1
    return tasks if tasks > 1 else 0


def _of_torchrun(environ: Mapping[str, str]) -> World:
    size, here = _number(environ, "WORLD_SIZE"), _number(environ, "LOCAL_WORLD_SIZE")
    nodes = int(environ.get("GROUP_WORLD_SIZE", size // here))
    if here * nodes != size:
        raise UserError(
            f"torchrun has started {size} processes on {nodes} nodes, {here} of them on this one; give "
            "`--nproc-per-node` the same number on every node"
        )
    return World("torchrun", _number(environ, "RANK"), size, nodes, "--nproc-per-node")


def _of_srun(environ: Mapping[str, str]) -> World:
    tasks = environ.get("SLURM_STEP_TASKS_PER_NODE", "1")  # such as 4(x2), or 4(x2),1
    counts = re.findall(r"(\d+)(?:\(x(\d+)\))?", tasks)
    if len({count for count, _ in counts}) > 1:
        raise UserError(
            f"SLURM runs another number of tasks on some nodes ({tasks}); give `srun` the same for all with "
            "`--ntasks-per-node`"
        )
    nodes = sum(int(times or 1) for _, times in counts)
    return World(SRUN, _number(environ, "SLURM_PROCID"), nodes * int(counts[0][0]), nodes, "--ntasks-per-node")


def _number(environ: Mapping[str, str], *names: str) -> int:
    """The first of the variables that is there."""
    name = next((name for name in names if name in environ), names[0])
    try:
        return int(environ[name])
    except (KeyError, ValueError):
        raise UserError(f"{name} must be a number, found {environ.get(name, 'nothing')!r} in the environment") from None


def _is_interactive(environ: Mapping[str, str]) -> bool:
    """Whether a shell was started in a job; Lightning knows it by the same names."""
    return environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
