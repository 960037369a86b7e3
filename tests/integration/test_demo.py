"""The main job as a user runs it: the demo, its files, its log, its checkpoints."""

import csv
import json
import os
from pathlib import Path

import pytest
import torch
import wandb_log
import yaml

SHORT = [
    "--trainer.max_epochs=2",
    "--data.datasets.digits.train=3000",
    *(f"--data.datasets.digits.{split}=300" for split in ("val", "test")),
]


@pytest.fixture(scope="module")
def demo(command, tmp_path_factory):
    """A short run of the demo: its folder, what it printed, its metrics."""
    folder = tmp_path_factory.mktemp("demo")
    flags = [*SHORT, "--trainer.log_every_n_steps=5", "--json=metrics.json", "--tensorboard=true"]
    result = command("fit", *flags, cwd=folder)
    assert result.returncode == 0, result.stderr[-4000:]
    (run,) = (folder / "runs" / "digits").iterdir()
    return run, result.stdout, json.loads((folder / "metrics.json").read_text())


def test_it_learns(demo):
    metrics = demo[2]
    assert metrics["left"]["accuracy"] > 0.3  # chance is 0.1
    assert set(metrics) == {"left", "right", "sum", "joint", "average"}
    assert set(metrics["sum"]) == {"pearson", "rmse", "mae", "loss"}


def test_the_average_is_that_of_the_main_metrics(demo):
    metrics = demo[2]
    main = [metrics["left"]["accuracy"], metrics["right"]["accuracy"], metrics["sum"]["pearson"]]
    assert metrics["average"] == pytest.approx(sum(main) / 3)


def test_it_prints_a_table_and_where_the_files_are(demo):
    run, printed, _ = demo
    for words in ("Best checkpoint on the test split", "accuracy *", "pearson *", "all tasks right", "average"):
        assert words in printed
    assert f"Files of this run: runs/digits/{run.name}" in printed
    assert f"wandb sync runs/digits/{run.name}/wandb/offline-run-" in printed


def test_the_resolved_configuration_is_beside_the_checkpoints(demo):
    config = yaml.safe_load((demo[0] / "config.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 2
    assert config["model"]["optimizer"]["init_args"]["betas"] == [0.9, 0.999]
    assert {path.name for path in (demo[0] / "checkpoints").iterdir()} == {"best.ckpt", "best.json", "last.ckpt"}


def test_the_csv_log_has_stable_names(demo):
    with open(demo[0] / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert logged_names() <= set(rows[0])
    assert next(row["train/weight/left"] for row in rows if row["train/weight/left"]) == "1.0"
    assert len([row for row in rows if row["val/average"]]) == 2


def test_weights_and_biases_has_the_same_names_and_the_configuration(demo):
    (run,) = (demo[0] / "wandb").glob("offline-run-*")
    assert logged_names() <= {name for step in wandb_log.history(run) for name in step}
    updates = [record.config.update for record in wandb_log.records(run) if record.HasField("config")]
    (config,) = map(wandb_log.values, updates)
    assert config["model"]["weighting"]["class_path"] == "mtl_lightning.weighting.EqualWeighting"
    assert config["trainer"]["max_epochs"] == 2


def test_tensorboard_by_flag(demo):
    assert list((demo[0] / "tensorboard").glob("events.out.tfevents.*"))


def test_the_saved_configuration_reruns_to_the_same_metrics(forked, demo, tmp_path):
    flags = ["--config", str(demo[0] / "config.yaml"), "--json=again.json", "--wandb=off"]
    result = forked("fit", *flags, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-4000:]
    assert json.loads((tmp_path / "again.json").read_text()) == demo[2]


def test_a_checkpoint_alone_suffices_to_test(forked, demo, tmp_path):
    result = forked("test", "--ckpt_path", str(demo[0]), "--json=test.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-4000:]
    assert "left: per label" in result.stdout and "precision" in result.stdout and "support" in result.stdout
    again = json.loads((tmp_path / "test.json").read_text())
    for task in ("left", "right", "sum"):
        assert again[task] == pytest.approx(demo[2][task], abs=1e-6)
    assert not (tmp_path / "runs").exists()


def test_a_checkpoint_holds_only_plain_data(demo):
    checkpoint = torch.load(demo[0] / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["mtl_lightning"]["tasks"]["left"] == {"labels": [str(digit) for digit in range(10)]}


def test_a_run_goes_on_from_its_last_checkpoint_and_keeps_its_log(forked, demo, tmp_path):
    root = demo[0].parent.parent.parent
    before = (demo[0] / "metrics.csv").read_text()
    flags = ["--config", str(demo[0] / "config.yaml"), "--trainer.max_epochs=3", "--ckpt_path=last", "--evaluate=none"]
    result = forked("fit", *flags, "--wandb=off", "--tensorboard=false", cwd=root)
    assert result.returncode == 0, result.stderr[-4000:]
    assert (demo[0] / "metrics.1.csv").read_text() == before
    checkpoint = torch.load(demo[0] / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["MultiTaskDataModule"]["position"] == [3, 0]


def test_environment_variables_and_later_config_files_win(forked, tmp_path):
    (tmp_path / "first.yaml").write_text((Path("configs/digits.yaml")).read_text())
    (tmp_path / "second.yaml").write_text("data: {batch_size: 7}\n")
    result = forked(
        *("fit", "--config", "first.yaml", "--config", "second.yaml", "--trainer.max_epochs=4", "--print_config"),
        cwd=tmp_path,
        env={**os.environ, "MTL_FIT__DATA__NUM_WORKERS": "3"},
    )
    assert result.returncode == 0, result.stderr[-4000:]
    config = yaml.safe_load(result.stdout)
    assert (config["data"]["batch_size"], config["data"]["num_workers"]) == (7, 3)
    assert (config["trainer"]["max_epochs"], config["name"]) == (4, "digits")


def test_a_broken_checkpoint_is_refused_in_one_line(forked, demo, tmp_path):
    whole = (demo[0] / "checkpoints" / "best.ckpt").read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    result = forked("test", "--ckpt_path", "half.ckpt", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: half.ckpt is not a readable checkpoint")
    assert len(result.stderr.splitlines()) == 1


def logged_names():
    tasks = {"left": ("accuracy", "f1"), "right": ("accuracy", "f1"), "sum": ("pearson", "rmse", "mae")}
    names = {"train/loss", "val/average", "train/examples_per_second", "train/tokens_per_second", "lr-AdamW/encoder"}
    for task, metrics in tasks.items():
        names |= {f"train/loss/{task}", f"train/weight/{task}", f"val/{task}/loss", f"test/{task}/loss"}
        names |= {f"val/{task}/{metric}" for metric in metrics}
    return names
