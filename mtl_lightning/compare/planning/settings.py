"""The options of ``compare``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mtl_lightning.compare.planning.catalogue import Space

Split = Literal["test", "val"]
Launcher = Literal["local", "slurm"]
DeltaM = Literal["main", "tasks", "metrics"]

HELP = """\
usage: mtl-lightning compare --config FILE --weightings a,b,... [--seeds N] [OPTIONS] [--KEY VALUE ...]

Trains every contestant with every seed and says which is better, by how much, and at what cost.

contestants:
  --config FILE             what is trained; may be given several times, as for fit (default: the demo)
  --weightings a,b,c        weightings by name (equal,uncertainty,upgrad,...) or import path, or all
  --variant NAME=CHANGES    any other change of the config: a YAML file, or {data.schedule: Alternating}
  --single_task false       leave out the baselines: a model of the same architecture for each task
  --pairs true              also train every pair of tasks: shows which help each other, and suggests a grouping
  --front N                 sweep N preferences between two or three tasks, for each of the weightings that take some
                            (stch,upgrad) and for fixed weights; cosmos trains one model and asks it for all N;
                            reports the hypervolume of each front
  --tune N                  try N settings of the learning rate and the method's options for each contestant, on the
                            validation split only; adds tuned fixed weights as a contestant
fairness:
  --seeds 5 | 0,1,2 | 0..4  seeds 0 to 4 (default), or the ones given
  --folds 5                 the folds of a cross-validation instead of seeds; needs data sets with `split: FoldSplit`
  --split test|val          split on which the best checkpoint of each run is scored (default: test)
  --delta_m main|tasks|metrics
                            what Δm averages: the tasks' main metrics (default), all metrics within each task and
                            then the tasks, or all metrics alike
running:
  --dry_run                 print the plan and an estimate of the time, and exit
  --output FOLDER           defaults to runs/compare/<name>; finished runs in it are kept, identified by their config
  --workers N               runs at a time; defaults to as many as cores or GPUs allow
  --threads N               threads of each run on a CPU; defaults to 1
  --time_limit MINUTES      limit for each run; one that takes longer is ended and reported
  --launcher local|slurm    where the runs take place; --slurm '{slurm_partition: gpu, timeout_min: 60, ...}' has
                            submitit's options
  --share true              several of this command, on machines that see the same --output, divide runs and searches
                            among them; each writes the report in the end
  --probe N                 measure how the tasks conflict every N steps of a loss weighting (0: never; default: 50)
  --keep_checkpoints true   keep every run's best checkpoint
  --plan FILE               these options as YAML, with `space`: what to search, by key of the config
Anything else is an option of fit, for all contestants: --trainer.max_epochs 3 --wandb off
"""


@dataclass
class Settings:
    """What to compare and how; see ``compare --help``.

    Attributes:
        config: Files.
        flags: Further options of ``fit``, later ones win; files that were given after one are among them.
        weightings: Classes of the weightings.
        variants: Changes of the config by contestant, each key to value.
        seeds: Of the runs of each contestant.
        folds: Number of folds of a cross-validation, which take the place of seeds: run i has seed i; None: none do.
        single_task: Whether a model for each task competes, too.
        pairs: Whether every pair of tasks is trained, too.
        front: Preferences between the tasks that are swept, or that one model is asked for; 0: none are.
        tune: Settings that the search tries for each contestant; 0: no search.
        space: What to search for every contestant, by key of the config; the learning rate if empty.
        split: What the best checkpoint of each run is scored on.
        delta_m: What Δm is the mean of.
        dry_run: Whether to stop after the plan.
        output: Folder of the comparison; ``runs/compare/<name>`` if None.
        workers: Runs at a time; as many as cores or GPUs allow if None.
        threads: Of each run on a CPU.
        time_limit: Of a run, in minutes.
        launcher: Where runs are done.
        slurm: Options of submitit.
        share: Whether other processes do runs of the same comparison.
        probe: Steps from one look at how tasks conflict to the next, in runs of loss weightings; 0: never.
        keep_checkpoints: Whether every run's best checkpoint is kept.
    """

    config: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    weightings: list[str] = field(default_factory=list)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: list(range(5)))
    folds: int | None = None
    single_task: bool = True
    pairs: bool = False
    front: int = 0
    tune: int = 0
    space: Space = field(default_factory=dict)
    split: Split = "test"
    delta_m: DeltaM = "main"
    dry_run: bool = False
    output: Path | None = None
    workers: int | None = None
    threads: int = 1
    time_limit: float | None = None
    launcher: Launcher = "local"
    slurm: dict[str, Any] = field(default_factory=dict)
    share: bool = False
    probe: int = 50
    keep_checkpoints: bool = False
