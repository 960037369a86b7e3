"""From options to a job."""

import sys
from itertools import product
from pathlib import Path

from mtl_lightning.cluster import Job, Member
from mtl_lightning.names import part_of_path
from mtl_lightning.submit.settings import Settings


def make_job(settings: Settings, name: str, folder: Path) -> Job:
    """The job that the options ask for.

    Args:
        settings: The options.
        name: Of the run.
        folder: Of the run, or of an array's runs.
    """
    tasks = settings.tasks_per_node or settings.gpus_per_node or 1
    options = [*settings.flags, f"--trainer.num_nodes={settings.nodes}", f"--trainer.devices={tasks}"]
    options += [] if settings.gpus_per_node else ["--trainer.accelerator=cpu"]
    members = _members(settings, name, folder)
    here = sys.executable if settings.format == "sbatch" else "python"
    return Job(
        name=part_of_path(name),
        options=(*options, *([] if members else [f"--trainer.default_root_dir={folder}"])),
        folder=folder,
        tasks_per_node=tasks,
        members=members,
        python=settings.python or here,
        **settings.resources(),
    )


def _members(settings: Settings, name: str, folder: Path) -> tuple[Member, ...]:
    """The runs of an array: every variant with every seed; none for a single run."""
    if not settings.seeds and not settings.variants:
        return ()
    found = []
    seeds: list[int | None] = [*settings.seeds] or [None]
    for (variant, changes), seed in product([*settings.variants.items()] or [("", [])], seeds):
        label = "-".join([part_of_path(variant)] * bool(variant) + [f"seed-{seed}"] * (seed is not None))
        options = [*changes, *([] if seed is None else [f"--seed_everything={seed}"])]
        options += [f"--name={name}-{label}", f"--trainer.default_root_dir={folder / label}"]
        found.append(Member(label, tuple(options)))
    return tuple(found)


def run_folders(job: Job) -> list[Path]:
    """Where the runs of a job write."""
    return [job.folder / member.label for member in job.members] or [job.folder]
