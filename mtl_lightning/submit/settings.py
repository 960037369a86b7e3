"""The options of ``submit``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mtl_lightning.cluster.job import Resources

Format = Literal["sbatch", "torchrun", "skypilot"]

HELP = """\
usage: mtl-lightning submit fit --config FILE [--nodes N] [--gpus-per-node N] [--time LIMIT] [OPTIONS] [--KEY VALUE ...]

Submits a training run to SLURM, after checking its configuration, and says where its log is.

job:
  --nodes N                 machines (default: 1)
  --gpus-per-node N         GPUs of each, with a process for each GPU; without it, the job runs on CPUs
  --gpu-type NAME           what the cluster calls the GPUs
  --tasks-per-node N        processes on each node of a job on CPUs (default: 1)
  --cpus-per-task N         cores of each process
  --memory 64G              of each node
  --time 4:00:00            limit; 90 is minutes, 2-12 is two and a half days (default: the partition's)
  --partition, --account, --qos, --constraint NAME
                            as for sbatch
  --sbatch=OPTION           any other option of sbatch, such as --sbatch=--mail-type=END; may be given several times
  --signal USR1@120         signal to all processes before the time limit, at which they save and stop
  --requeue never           a job that is preempted, or loses a node, does not return to the queue
  --cluster FILE            these options as YAML; `fit` in it holds options of fit
several runs:
  --seeds 5 | 0,1,2 | 0..4  a run for each seed: seeds 0 to 4, or the ones given
  --variant NAME=CHANGES    a run for each variant: a YAML file, or {data.schedule: Alternating};
                            with seeds, for each variant and seed
  --at-once N               so many runs of the array at a time
output:
  --dry_run                 print the script and submit nothing
  --format sbatch|torchrun|skypilot
                            what --dry_run prints: a script for sbatch (default), torchrun's line for each node, or a
                            task of SkyPilot
  --python COMMAND          what starts Python on the nodes (default: the one that runs this command)
Anything else is an option of fit: --trainer.max_epochs 3 --wandb off
The run's folder is --trainer.default_root_dir, or runs/<name>/<time>; the same run is not submitted twice.
"""


@dataclass(frozen=True, kw_only=True)
class Settings(Resources):
    """What to submit and how; see ``submit --help``.

    Attributes:
        flags: Options of ``fit``.
        tasks_per_node: Processes on each node; null: one for each GPU, or one.
        seeds: A run for each; none: a single run.
        variants: Options of ``fit`` by variant.
        dry_run: Whether to print and submit nothing.
        format: Of what is printed.
        python: On the nodes; null: this one.
    """

    flags: Sequence[str] = ()
    tasks_per_node: int | None = None
    seeds: Sequence[int] = ()
    variants: Mapping[str, list[str]] = field(default_factory=dict)
    dry_run: bool = False
    format: Format = "sbatch"
    python: str | None = None
