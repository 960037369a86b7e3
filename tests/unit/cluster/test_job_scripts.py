"""What a job becomes for sbatch, torchrun and SkyPilot: golden files; `MTL_GOLDEN=write` writes them anew."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mtl_lightning.cluster import Job, Member, sbatch_script, skypilot_task, torchrun_lines
from mtl_lightning.errors import UserError

GOLDEN = Path(__file__).parent / "golden"
WRITERS = {"sbatch": sbatch_script, "torchrun": torchrun_lines, "skypilot": skypilot_task}
OPTIONS = ("--config=configs/my snips.yaml", "--trainer.num_nodes=2", "--trainer.devices=4")
JOBS = {
    "cpu": Job("demo", ("--trainer.accelerator=cpu",), Path("runs/demo/1"), tasks_per_node=2, requeue=False),
    "nodes": Job(
        *("snips", OPTIONS, Path("runs/snips/1")),
        **{"nodes": 2, "tasks_per_node": 4, "gpus_per_node": 4, "gpu_type": "H100", "cpus_per_task": 8},
        **{"time": "4:00:00", "partition": "gpu", "account": "nlp", "memory": "64G", "sbatch": ("--mail-type=END",)},
    ),
    "array": Job(
        *("snips", OPTIONS, Path("runs/snips/my runs")),
        **{"time": "4", "at_once": 2, "qos": "low", "constraint": "a100|h100", "signal": "USR2@30"},
        members=(
            Member("a-seed-0", ("--model.weighting=UPGrad", "--seed_everything=0")),
            Member("b-seed-0", ("--data.schedule={class_path: Annealed}", "--seed_everything=0")),
        ),
    ),
}


def cases():
    return [(job, form) for job in JOBS for form in WRITERS if (job, form) != ("array", "skypilot")]


@pytest.mark.parametrize(("job", "form"), cases(), ids=[f"{job}-{form}" for job, form in cases()])
def test_a_job_is_written_as_its_golden_file(job, form):
    written, golden = WRITERS[form](JOBS[job]), GOLDEN / f"{job}.{form}"
    if os.environ.get("MTL_GOLDEN") == "write":
        golden.write_text(written)
    assert written == golden.read_text()


@pytest.mark.parametrize("job", JOBS)
def test_bash_reads_the_script_as_it_is_meant(job, tmp_path):
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nfor word in "$@"; do echo "<$word>"; done\n')
    srun.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "1"}
    line = [shutil.which("bash"), "-c", sbatch_script(JOBS[job])]
    printed = subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout
    last = JOBS[job].members[1].options if JOBS[job].members else ()
    words = (*JOBS[job].fit, *last)
    assert printed.endswith("".join(f"<{word}>\n" for word in ("python", *words)))


def test_a_task_of_skypilot_is_yaml_that_starts_each_node():
    task = yaml.safe_load(skypilot_task(JOBS["nodes"]))
    assert (task["num_nodes"], task["resources"]["accelerators"]) == (2, "H100:4")
    assert "$SKYPILOT_NODE_RANK" in task["run"] and "'--config=configs/my snips.yaml'" in task["run"]


def test_a_task_of_skypilot_is_one_run_on_a_known_kind_of_gpu():
    with pytest.raises(UserError, match="a task is one run"):
        skypilot_task(JOBS["array"])
    with pytest.raises(UserError, match="name the kind of GPU"):
        skypilot_task(Job("a", (), Path("runs"), gpus_per_node=4))


@pytest.mark.parametrize(
    ("time", "signal"), [("4:00:00", "USR1@120"), ("1", "USR1@15"), ("2:00", "USR1@30"), (None, "USR1@120")]
)
def test_a_short_job_is_told_later(time, signal):
    assert Job("a", (), Path("runs"), time=time).warning == signal
