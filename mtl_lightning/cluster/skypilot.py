"""A job as a task of SkyPilot (https://docs.skypilot.co), which rents the machines."""

from typing import Any

import yaml

from mtl_lightning.cluster.job import Job
from mtl_lightning.cluster.torchrun import PORT
from mtl_lightning.errors import UserError
from mtl_lightning.terminal import quoted_line


def skypilot_task(job: Job) -> str:
    """The YAML that ``sky launch`` takes; it has no time limit, and no partition.

    Raises:
        UserError: If the kind of GPU is missing, or for an array: a task is one run.
    """
    if job.members:
        raise UserError("format skypilot: a task is one run; leave out `--seeds` and `--variant`, and launch one each")
    if job.gpus_per_node and job.gpu_type is None:
        raise UserError("format skypilot: name the kind of GPU, such as `--gpu-type H100`")
    accelerators = {"accelerators": f"{job.gpu_type}:{job.gpus_per_node}"} if job.gpus_per_node else {}
    cores = {} if job.cpus_per_task is None else {"cpus": f"{job.cpus_per_task * job.tasks_per_node}+"}
    task: dict[str, Any] = {
        "name": job.name,
        "num_nodes": job.nodes,
        "resources": accelerators | cores,
        "workdir": ".",
        "setup": "pip install mtl-lightning",
        "run": _Block(_run(job)),
    }
    return str(yaml.dump({key: value for key, value in task.items() if value}, Dumper=_Dumper, sort_keys=False))


def _run(job: Job) -> str:
    line = [
        "torchrun",
        '--nnodes="$SKYPILOT_NUM_NODES"',
        '--node-rank="$SKYPILOT_NODE_RANK"',
        '--master-addr="$(echo "$SKYPILOT_NODE_IPS" | head -n1)"',
        f"--master-port={PORT}",
        f"--nproc-per-node={job.tasks_per_node}",
    ]
    return " \\\n  ".join([*line, quoted_line(job.fit)]) + "\n"


class _Block(str):
    """Text of several lines, which is written as such."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")
)
