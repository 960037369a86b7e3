"""`submit` on a real SLURM: a run on two nodes, an array, and what SLURM refuses."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from forked import Forked
from patience import until

import mtl_lightning
from mtl_lightning.__main__ import main

TINY = [
    *("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--wandb=off"),
    *(f"--data.datasets.digits.{split}=128" for split in ("train", "val", "test")),
    *("--trainer.num_sanity_val_steps=0", "--data.batch_size=8", "--name=tiny"),
]


@pytest.fixture
def place(slurm, tmp_path, monkeypatch):
    """A folder to submit from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(mtl_lightning.__file__).parents[1]))
    return tmp_path


def states(number):
    line = ["squeue", "--states=all", "--noheader", "--format=%T", f"--job={number}"]
    return set(subprocess.run(line, capture_output=True, text=True, check=True).stdout.split())


def over(number):
    return not states(number) & {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING"}


def submitted(printed):
    return re.search(r"Submitted job (\d+)", printed)[1]


def test_a_run_on_two_nodes_is_submitted_once_and_trains(place, capsys):
    line = ["submit", "fit", "--nodes=2", "--tasks-per-node=1", "--time=10", *TINY]
    assert main(line) == 0
    number = submitted(printed := capsys.readouterr().out)
    assert f"cancel  scancel {number}" in printed and "2 nodes, 1 process on each, on CPUs" in printed
    assert main(line) == 2
    assert f"already has job {number}, RUNNING: nothing is submitted twice" in capsys.readouterr().err
    until(lambda: over(number))
    (folder,) = Path("runs", "tiny").iterdir()
    log = (folder / f"slurm-{number}.log").read_text()
    assert states(number) == {"COMPLETED"}, log
    assert json.loads((folder / "job.json").read_text())["id"] == number
    assert (folder / "checkpoints" / "best.ckpt").exists()
    assert "Starting with 2 processes" in log


def test_an_array_starts_each_run_with_its_own_options(place, capsys):
    python = place / "python.sh"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    line = ["submit", "fit", "--seeds=3..4", "--variant=a={data.schedule: Alternating}", f"--python={python}"]
    assert main([*line, *TINY]) == 0
    number = submitted(capsys.readouterr().out)
    until(lambda: over(number))
    (folder,) = Path("runs", "tiny").iterdir()
    for index, seed in enumerate((3, 4)):
        log = (folder / f"slurm-{number}_{index}.log").read_text()
        own = f"--seed_everything={seed} --name=tiny-a-seed-{seed} --trainer.default_root_dir={folder}/a-seed-{seed}\n"
        assert log.endswith(f"--data.schedule=Alternating {own}")
        assert json.loads((folder / f"a-seed-{seed}" / "job.json").read_text())["id"] == f"{number}_{index}"


def test_an_array_that_waits_is_in_the_queue_too(place, capsys):
    line = ["submit", "fit", "--seeds=2", "--sbatch=--begin=now+1hour", *TINY]
    assert main(line) == 0
    number = submitted(capsys.readouterr().out)
    assert main(line) == 2
    assert f"already has job {number}_0, PENDING: nothing is submitted twice" in capsys.readouterr().err
    subprocess.run(["scancel", number], check=True)


def test_two_at_once_submit_once(place):
    line = ["submit", "fit", "--sbatch=--begin=now+1hour", *TINY]
    both = [process.finish() for process in [Forked(*line, cwd=place) for _ in range(2)]]
    assert sorted(ended.returncode for ended in both) == [0, 2], both
    number = submitted("".join(ended.stdout for ended in both))
    assert any(f"already has job {number}, PENDING: nothing is submitted twice" in ended.stderr for ended in both)
    assert [path.name for path in Path("runs", "tiny").rglob("job.json")] == ["job.json"]
    assert not [*Path("runs").rglob(".submitting")]
    subprocess.run(["scancel", number], check=True)


def test_a_name_that_slurm_reads_otherwise_is_one_line_and_leaves_nothing(place, capsys):
    for name in ("50%job", "a\\b"):
        assert main(["submit", "fit", *TINY, f"--name={name}"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: trainer.default_root_dir: SLURM reads '%' and '\\' in the folder of a log")
    assert not Path("runs").exists()


def test_a_partition_that_slurm_refuses_is_one_line_and_leaves_nothing(place, capsys):
    assert main(["submit", "fit", "--partition=nowhere", *TINY]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: slurm refuses the job tiny: invalid partition specified: nowhere")
    assert not Path("runs").exists()


def test_a_job_that_fails_at_once_says_what_its_log_says(place, capsys):
    python = place / "python.sh"
    python.write_text("#!/bin/sh\necho 'error: no such environment' >&2\nexit 3\n")
    python.chmod(0o755)
    assert main(["submit", "fit", f"--python={python}", *TINY]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"error: job \d+ FAILED at once: error: no such environment; its log: runs/tiny/.*\.log", line)
