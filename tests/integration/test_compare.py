"""`compare` from options to report, killed and gone on with, with contestants that crash, diverge and never end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pandas as pd
import pytest
import wandb_log
from patience import until

from mtl_lightning.compare.running.launchers import local

DATA = [
    *("--model.tasks.sum=null", "--data.tasks=[left, right]"),
    *(f"--data.datasets.digits.{split}={size}" for split, size in {"train": 320, "val": 60, "test": 100}.items()),
    *("--trainer.max_epochs=2", "--trainer.log_every_n_steps=2", "--data.batch_size=32"),
]
WHOLE = [
    *("--weightings=equal,upgrad", "--variant=again={model.weighting: EqualWeighting}"),
    *("--seeds=2", "--tune=2", "--probe=5", *DATA, "--wandb=off"),
]
MEASURED = ["seconds_per_step", "cpu_seconds_per_step", "peak_memory", "solver_seconds"]

OWN = """
from mtl_lightning.weighting import EqualWeighting

class Crashing(EqualWeighting):
    def forward(self, losses, tasks):
        raise OSError("the disk is full")

class NotANumber(EqualWeighting):
    def forward(self, losses, tasks):
        return super().forward(losses, tasks) * float("nan")
"""


@pytest.fixture(scope="module")
def whole(compare, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    done = compare(*WHOLE, "--output=comparison", cwd=folder)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    return folder / "comparison", done.stdout


def results(folder):
    return pd.read_csv(folder / "results.csv")


def test_every_run_is_there(whole):
    folder, _ = whole
    runs = results(folder).drop_duplicates(["role", "contestant", "first_task", "seed", "folder"])
    assert set(runs["status"]) == {"finished"}
    compared = results(folder).query("role == 'compare' and metric == 'accuracy'")
    counts = compared.groupby("contestant").size().to_dict()
    assert counts == dict.fromkeys(("equal", "upgrad", "again", "tuned weights", "single task"), 4)
    assert (results(folder)["role"] == "tune").any()


def test_it_says_plainly_what_it_found(whole):
    folder, printed = whole
    assert "Too few seeds to show a difference from equal by Δm (main metrics) on the test split" in printed
    assert "Report: comparison/report.html" in printed
    assert (folder / "report.html").stat().st_size > 10_000


def test_the_same_method_under_two_names_is_no_difference(whole):
    folder, _ = whole
    one, two = (results(folder).query(f"role == 'compare' and contestant == '{name}'") for name in ("equal", "again"))
    assert list(one["value"]) == list(two["value"])


def test_a_run_can_be_repeated_by_hand(whole, forked):
    folder, _ = whole
    run = next((folder / "runs").glob("upgrad-seed1-*"))
    options = ("--config", str(run / "fit.yaml"), "--trainer.default_root_dir=by_hand", "--json=by_hand.json")
    done = forked("fit", *options, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((folder / "by_hand.json").read_text()) == json.loads((run / "result.json").read_text())["scores"]


def test_killed_and_gone_on_with_it_gives_the_same_report(whole, compare, tmp_path):
    folder, _ = whole
    runs = tmp_path / "comparison" / "runs"
    shutil.copytree(folder / "runs", runs)
    for missing in [*runs.glob("upgrad-*"), *runs.glob("single-task-left-*")]:
        shutil.rmtree(missing)
    done, all_runs = len(list(runs.glob("*/result.json"))), len(list(folder.glob("runs/*/result.json")))
    line = [sys.executable, "-m", "mtl_lightning", "compare", *WHOLE, "--output=comparison"]
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(list(runs.glob("*/result.json"))) >= done + 3, going_on=lambda: process.poll() is None)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in runs.glob("*/result.json")}
    assert len(before) < all_runs == done + 8
    assert compare(*WHOLE, "--output=comparison", cwd=tmp_path).returncode == 0
    assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())
    _take_measured_times_from(folder / "runs", runs)
    assert compare(*WHOLE, "--output=comparison", cwd=tmp_path).returncode == 0
    for name in ("report.html", "report.md", "results.csv", "results.parquet"):
        assert (tmp_path / "comparison" / name).read_bytes() == (folder / name).read_bytes(), name
    for plot in (folder / "plots").iterdir():
        assert (tmp_path / "comparison" / "plots" / plot.name).read_bytes() == plot.read_bytes(), plot.name


def _take_measured_times_from(one, other):
    """What a clock and the system measured is never the same twice."""
    for path in one.glob("*/result.json"):
        theirs, ours = json.loads(path.read_text()), json.loads((other / path.parent.name / "result.json").read_text())
        theirs.pop("checksum")
        ours = {key: value for key, value in ours.items() if key != "checksum"} | {"seconds": theirs["seconds"]}
        ours["costs"] |= {name: theirs["costs"][name] for name in MEASURED}
        assert ours == theirs
        (other / path.parent.name / "result.json").write_text(json.dumps(ours))


@pytest.fixture(scope="module")
def troubled(compare, tmp_path_factory):
    """Runs one after another. One of them pauses, and at that moment an hour passes by the clock of the comparison."""
    folder = tmp_path_factory.mktemp("troubled")
    (folder / "own.py").write_text(OWN)
    paused = folder / "paused"
    pause = {"class_path": "pausing.Pause", "init_args": {"step": 5, "mark": str(paused)}}
    variants = [f"--variant={name}={{model.weighting: own.{name}}}" for name in ("Crashing", "NotANumber")]
    variants.append(f"--variant=Endless={{trainer.callbacks: [{json.dumps(pause)}]}}")
    options = ["--weightings=equal", *variants, "--seeds=1", "--single_task=false", "--time_limit=30", *DATA]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(local, "time", SimpleNamespace(time=lambda: time.time() + 3600 * paused.exists()))
        done = compare(*options, "--output=comparison", "--wandb=offline", "--workers=1", cwd=folder)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    return folder / "comparison", done.stdout, options


def result(folder, name):
    return json.loads(next((folder / "runs").glob(f"{name}-seed0-*/result.json")).read_text())


def test_one_that_crashes_is_reported_and_the_others_go_on(troubled):
    folder, printed, _ = troubled
    assert result(folder, "Crashing")["status"] == "failed"
    assert "OSError: the disk is full" in result(folder, "Crashing")["message"]
    assert "the disk is full" in printed and "the disk is full" in (folder / "report.html").read_text()
    assert result(folder, "equal")["status"] == "finished"


def test_one_that_diverges_is_reported(troubled):
    folder, _, _ = troubled
    assert result(folder, "NotANumber")["status"] == "diverged"
    assert "not finite" in result(folder, "NotANumber")["message"]


def test_one_that_never_ends_is_ended(troubled):
    folder, printed, _ = troubled
    assert result(folder, "Endless")["status"] == "timeout"
    assert "time limit of 30 minutes" in printed


def test_what_broke_is_tried_again_and_what_diverged_is_not(troubled, compare, tmp_path):
    folder, _, options = troubled
    again = tmp_path / "comparison"
    shutil.copytree(folder, again)
    fixed = OWN.replace('raise OSError("the disk is full")', "return losses.sum()")
    (tmp_path / "own.py").write_text(fixed)
    done = compare(*options, "--output=comparison", "--wandb=off", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [result(again, name)["status"] for name in ("Crashing", "Endless")] == ["finished", "finished"]
    assert result(again, "NotANumber") == result(folder, "NotANumber")


def test_weights_and_biases_has_one_group_with_job_types_and_a_summary(troubled):
    folder, _, _ = troubled
    runs = [*folder.glob("runs/*/wandb/offline-run-*/run-*.wandb"), *folder.glob("wandb/offline-run-*/run-*.wandb")]
    seen = [logged(run) for run in runs]
    assert {run.run_group for run in seen} == {"compare-digits"}
    assert sorted({run.job_type for run in seen}) == ["compare", "summary"]
    media = folder / "wandb"
    assert list(media.glob("offline-run-*/files/media/table/contestants*.json"))
    assert list(media.glob("offline-run-*/files/media/images/plots/*.png"))


def logged(file):
    return next(record.run for record in wandb_log.records(file) if record.HasField("run"))
