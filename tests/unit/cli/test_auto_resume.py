"""A command that is started again resumes its own last checkpoint."""

import os
from pathlib import Path

import pytest
import tiny
import torch

from mtl_lightning.cli.run_folder import RUN_DIR_VARIABLE, RunFolder
from mtl_lightning.errors import UserError

VARIABLES = ("LOCAL_RANK", "RANK", "SLURM_PROCID", "SLURM_JOB_ID", "SLURM_RESTART_COUNT", "TORCHELASTIC_RUN_ID")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, kept_environ):
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, RUN_DIR_VARIABLE):
        kept_environ.pop(name, None)
    tiny.write(tmp_path)
    return tmp_path


def epochs(folder: str) -> int:
    return int(torch.load(Path(folder, "checkpoints", "last.ckpt"), weights_only=True)["epoch"])


def test_auto_starts_a_run_and_then_resumes_it() -> None:
    options = ["--ckpt_path=auto", "--evaluate=none"]
    assert tiny.fit("run", *options, "--trainer.max_epochs=1") == 0
    assert epochs("run") == 1
    assert tiny.fit("run", *options, "--trainer.max_epochs=3", "--trainer.limit_train_batches=4") == 0
    assert epochs("run") == 3
    assert (Path("run") / "metrics.1.csv").exists()


def test_a_run_that_starts_from_another_one_does_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.fit("first", "--evaluate=none", "--trainer.max_epochs=1") == 0
    options = ["--ckpt_path=auto", "--evaluate=none", "--init_from=first"]
    assert tiny.fit("second", *options, "--trainer.max_epochs=1") == 0
    Path("first").rename("gone")
    assert tiny.fit("second", *options, "--trainer.max_epochs=2") == 0
    assert epochs("second") == 2
    assert tiny.fit("third", *options) == 2
    assert "init_from: no file or folder first" in capsys.readouterr().err


def test_a_checkpoint_in_parts_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parts = Path("run", "checkpoints", "last.ckpt")
    parts.mkdir(parents=True)
    (parts / ".metadata").touch()
    assert tiny.fit("run", "--ckpt_path=auto", "--evaluate=none") == 2
    assert f"{parts} is a checkpoint in parts, of a model that was split over processes" in capsys.readouterr().err


def test_auto_needs_a_folder_to_come_back_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.main(["fit", "--config=config.yaml", "--ckpt_path=auto"]) == 2
    assert (
        "ckpt_path: auto needs a folder that is the same when the command is started again" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "0"}, "slurm-7-0"),
        ({"TORCHELASTIC_RUN_ID": "night"}, "torchrun-night"),
    ],
    ids=["slurm", "torchrun"],
)
def test_a_job_has_such_a_folder(variables: dict[str, str], name: str) -> None:
    os.environ |= variables
    for _ in range(2):
        os.environ.pop(RUN_DIR_VARIABLE, None)
        folder = RunFolder("a", None, None, again=True)
        assert str(folder.path) == f"runs/a/{name}"
        folder.release()


@pytest.mark.parametrize("name", ["none", "../elsewhere"])
def test_torchrun_may_have_none(name: str) -> None:
    os.environ["TORCHELASTIC_RUN_ID"] = name
    with pytest.raises(UserError, match="ckpt_path: auto needs a folder"):
        RunFolder("a", None, None, again=True)


def test_a_job_that_slurm_requeued_resumes_by_the_same_command() -> None:
    os.environ |= {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "0"}
    command = ["--evaluate=none", "--trainer.max_epochs=1"]
    assert tiny.fit("run", *command) == 0
    os.environ["SLURM_RESTART_COUNT"] = "1"
    assert tiny.fit("run", "--evaluate=none", "--trainer.max_epochs=2") == 0
    assert epochs("run") == 2
