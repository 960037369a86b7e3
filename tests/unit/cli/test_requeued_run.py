"""``fit`` requeues its job last of all, and resumes by the same command; `scontrol` is a script."""

import os
import signal
from pathlib import Path

import pytest
import tiny
import torch

from mtl_lightning.cli.run_folder import RUN_DIR_VARIABLE

SCRIPT = """\
#!/bin/sh
echo "$@ $(ls -a run | grep -c .running)" >> asked
echo BatchFlag=1 Requeue=1 JobState=RUNNING
"""
WARNED = '--trainer.callbacks+={"class_path": "preempting.Warned", "init_args": {"step": 2, "name": "SIGUSR2"}}'


@pytest.fixture(autouse=True)
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_job: os._Environ[str]) -> None:
    monkeypatch.chdir(tmp_path)
    no_job.pop(RUN_DIR_VARIABLE, None)
    tiny.write(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text(SCRIPT)
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    no_job |= {"SLURM_JOB_ID": "7", "PATH": f"{tmp_path}/bin:{no_job['PATH']}"}


def test_a_warned_job_is_requeued_when_all_else_is_done_and_resumes(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.fit("run", "--evaluate=none", WARNED) == 128 + signal.SIGUSR2
    assert capsys.readouterr().err.endswith("job 7 is requeued (time limit): it resumes from there by itself\n")
    assert Path("asked").read_text() == "show job -o 7 0\nrequeue 7 0\n"  # the folder is free by then
    os.environ["SLURM_RESTART_COUNT"] = "1"
    assert tiny.fit("run", "--evaluate=none", WARNED) == 0
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 8


def test_a_job_that_is_never_to_be_requeued_is_not() -> None:
    assert tiny.fit("run", "--evaluate=none", "--requeue=never", WARNED) == 128 + signal.SIGUSR2
    assert not Path("asked").exists()
