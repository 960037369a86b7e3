"""Jobs on the private SLURM that take too long for the suite: ``make jobs``.

Each ends with the same parameters, to the last bit, as a run that nothing has happened to.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import launch
import pytest
import test_requeued_jobs as requeued
import tiny
from patience import PATIENCE, until
from test_submit import TINY, over, states, submitted

from mtl_lightning.__main__ import main


@pytest.fixture(autouse=True)
def place(slurm, tmp_path, monkeypatch):
    """A folder to submit from, and where its jobs find what they import."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path(__file__).parents[2]}")
    return tmp_path


def reasons(folder):
    history = json.loads((folder / "job" / "requeues.json").read_text())
    return history["time_limits"], history["preemptions"]


def test_a_job_that_is_preempted_twice_with_a_straggler(place):
    said = requeued.compare(place, ["TERM", "TERM"], steps=[3, 6])
    assert said.count("is requeued (preemption): it resumes from there by itself") == 2
    assert reasons(place) == (0, 2)


def test_a_job_that_is_warned_of_its_time_limit_and_preempted_later(place):
    said = requeued.compare(place, ["", "TERM"], "--time=4", "--signal=USR1@60", steps=[3, 6])
    assert "is requeued (time limit)" in said and "is requeued (preemption)" in said
    assert reasons(place) == (1, 1)


def test_a_job_that_is_not_warned_of_its_time_limit(place):
    said = requeued.compare(place, [""], "--time=3", steps=[3])
    assert "is requeued (time limit)" in said
    assert reasons(place) == (1, 0)


def test_an_array_of_runs_on_two_nodes(place, capsys):
    tiny.write(place)
    line = ["submit", "fit", "--config=config.yaml", "--nodes=2", "--seeds=2", "--time=10"]
    assert main([*line, "--trainer.default_root_dir=array"]) == 0
    number = submitted(capsys.readouterr().out)
    for seed in (0, 1):
        flags = ["--config=config.yaml", f"--seed_everything={seed}", f"--trainer.default_root_dir=alone-{seed}"]
        assert [each.finish().returncode for each in launch.start(2, "fit", *flags, "--trainer.devices=2")] == [0, 0]
    until(lambda: over(f"{number}_0") and over(f"{number}_1"))
    for seed in (0, 1):
        one, other = requeued.saved(place / "array" / f"seed-{seed}"), requeued.saved(place / f"alone-{seed}")
        launch.assert_same(one["state_dict"], other["state_dict"], where=str(states(f"{number}_{seed}")))


def test_two_comparisons_share_jobs_of_two_nodes(place):
    line = ["compare", "--weightings=equal,upgrad", "--single_task=false", "--seeds=2", "--probe=0", "--output=out"]
    line += [*TINY, "--launcher=slurm", "--time_limit=10", "--share=true", "--tune=2", "--workers=2"]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "mtl_lightning", *line],
            env=os.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=PATIENCE)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    results = [json.loads(path.read_text()) for path in Path("out").rglob("result.json")]
    jobs = [json.loads(path.read_text())["id"] for path in Path("out").rglob("job.json")]
    assert {each["status"] for each in results} == {"finished"}
    assert len(results) == len(jobs) == len(set(jobs)), said
    assert Path("out", "report.html").exists()
