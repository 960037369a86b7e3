"""Jobs on a cluster: what one is, how it is written for SLURM, ``torchrun`` and SkyPilot, and how it is submitted.

Nothing heavy is imported here: a login node answers at once.
"""

from mtl_lightning.cluster.job import Job, Member
from mtl_lightning.cluster.queue import Queue
from mtl_lightning.cluster.sbatch import sbatch_script
from mtl_lightning.cluster.skypilot import skypilot_task
from mtl_lightning.cluster.torchrun import torchrun_lines

__all__ = ["Job", "Member", "Queue", "sbatch_script", "skypilot_task", "torchrun_lines"]
