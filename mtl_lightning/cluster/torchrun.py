"""A job as lines for ``torchrun``, which are started on every node by hand or by another scheduler."""

from mtl_lightning.cluster.job import Job
from mtl_lightning.terminal import quoted_line

PORT = 29500


def torchrun_lines(job: Job) -> str:
    """One line a run; with several nodes, the same line on each, where ``$HEAD_NODE`` is the name of one of them."""
    runs = [member.options for member in job.members] or [()]
    return "".join(f"{_line(job, options)}\n" for options in runs)


def _line(job: Job, options: tuple[str, ...]) -> str:
    where = ["--standalone"]
    if job.nodes > 1:
        where = [f"--nnodes={job.nodes}", "--rdzv-backend=c10d", f'--rdzv-endpoint="$HEAD_NODE:{PORT}"']
    line = ["torchrun", *where, f"--nproc-per-node={job.tasks_per_node}"]
    return " ".join([*line, quoted_line([*job.fit, *options])])
