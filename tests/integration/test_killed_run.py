"""A run that is killed and goes on from the command line equals one that is not."""

import csv
import os
import signal

import pytest
import torch
import yaml
from forked import Forked
from launch import assert_same
from patience import until

OWN = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # not that of earlier tests
PAUSE = '[{"class_path": "pausing.Pause", "init_args": {"step": 18, "mark": "paused"}}]'
FLAGS = [
    *("--data.datasets.digits.train=800", "--data.datasets.digits.val=60", "--data.datasets.digits.test=60"),
    *("--data.batch_size=32", "--trainer.max_epochs=2", "--trainer.enable_progress_bar=false", "--evaluate=none"),
    *("--trainer.log_every_n_steps=1", "--save_every_n_steps=7", "--model.weighting=UncertaintyWeighting"),
    f"--trainer.callbacks={PAUSE}",
]


@pytest.fixture(scope="module")
def folder(forked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    kill(Forked("fit", *FLAGS, "--trainer.default_root_dir=killed", cwd=folder, env=OWN), folder / "paused")
    goes_on = forked("fit", *FLAGS, "--ckpt_path=killed", "--trainer.default_root_dir=killed", cwd=folder)
    assert goes_on.returncode == 0, goes_on.stderr[-4000:]
    whole = forked("fit", *FLAGS, "--trainer.default_root_dir=whole", "--wandb=off", cwd=folder)  # does not pause again
    assert whole.returncode == 0, whole.stderr[-4000:]
    return folder


def kill(run, paused):
    until(paused.exists, going_on=run.is_running)
    run.kill()
    assert run.finish().returncode == -signal.SIGKILL


def checkpoint(run):
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


def logged(run):
    """Values by step and name, the newest where a step was done twice; but for what depends on the clock."""
    values = {}
    for log in sorted(run.glob("metrics*.csv"), key=lambda path: path.name == "metrics.csv"):
        for row in csv.DictReader(log.read_text().splitlines()):
            timed = ("train/examples_per_second", "train/tokens_per_second", "train/data_wait", "step", "epoch")
            values |= {(row["step"], name): value for name, value in row.items() if value and name not in timed}
    return values


def test_it_ends_with_the_same_numbers(folder):
    whole, goes_on = checkpoint(folder / "whole"), checkpoint(folder / "killed")
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "loops", "MultiTaskDataModule"):
        assert_same(goes_on[part], whole[part], where=part)
    assert_same(goes_on["mtl_lightning"]["executor"], whole["mtl_lightning"]["executor"], where="executor")


def test_it_logs_the_same_numbers(folder):
    assert logged(folder / "killed") == logged(folder / "whole")
    assert (folder / "killed/metrics.1.csv").exists()


def test_it_stays_one_run_in_weights_and_biases(folder):
    runs = [path.name for path in (folder / "killed/wandb").glob("offline-run-*")]
    assert len(runs) == 2
    assert len({name.rsplit("-", 1)[1] for name in runs}) == 1


def test_its_saved_configuration_starts_anew(folder):
    assert yaml.safe_load((folder / "killed/config.yaml").read_text())["ckpt_path"] is None
