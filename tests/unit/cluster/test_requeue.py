"""A job of SLURM is requeued when it was warned or preempted, unless that leads nowhere; `scontrol` is made up."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from mtl_lightning.cluster.requeue import FILE, History, job_id, requeue

SHOWN = "JobId=7 JobName=a Requeue=1 Restarts=0 BatchFlag=1 JobState=RUNNING Reason=None"


class Scontrol:
    def __init__(self, shown: str = SHOWN, fails: Exception | None = None) -> None:
        self.shown, self.fails, self.asked = shown, fails, list[str]()

    def __call__(self, *arguments: str) -> str:
        self.asked.append(" ".join(arguments))
        if self.fails and arguments[0] == "requeue":
            raise self.fails
        return self.shown


@pytest.fixture(autouse=True)
def job(no_job: os._Environ[str]) -> None:
    no_job["SLURM_JOB_ID"] = "7"


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGUSR1, "time limit"), (signal.SIGUSR2, "time limit"), (signal.SIGTERM, "preemption")],
)
def test_a_job_that_is_warned_or_preempted_is_requeued(tmp_path: Path, number: int, reason: str) -> None:
    scontrol = Scontrol()
    said = requeue(tmp_path, number, 1, scontrol)
    assert said == f"job 7 is requeued ({reason}): it resumes from there by itself"
    assert scontrol.asked == ["show job -o 7", "requeue 7"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_job_that_its_user_stops_is_not(tmp_path: Path, number: int) -> None:
    scontrol = Scontrol()
    assert requeue(tmp_path, number, 1, scontrol) is None
    assert not scontrol.asked


def test_outside_of_slurm_there_is_nothing_to_requeue(tmp_path: Path) -> None:
    del os.environ["SLURM_JOB_ID"]
    assert requeue(tmp_path, signal.SIGTERM, 1, Scontrol()) is None


def test_a_task_of_an_array_is_requeued_alone() -> None:
    """The number of an array's last task is that of the array: it would requeue all of them."""
    os.environ |= {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
    assert job_id() == "7_0"


def test_time_limits_and_preemptions_are_counted_apart_and_kept(tmp_path: Path) -> None:
    for progress, number in enumerate([signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM]):
        assert "is requeued" in str(requeue(tmp_path, number, progress, Scontrol()))
    assert History.read(tmp_path) == History(time_limits=1, preemptions=2, job="7", progress=2)
    assert json.loads((tmp_path / FILE).read_text())["preemptions"] == 2


def test_a_job_without_progress_since_it_was_requeued_ends(tmp_path: Path) -> None:
    scontrol = Scontrol()
    for job in ("7", "8"):  # another job, which may have more time, is given its chance
        os.environ["SLURM_JOB_ID"] = job
        assert "is requeued" in str(requeue(tmp_path, signal.SIGUSR1, 5, scontrol))
    assert "job 8 is not requeued: it has saved no step since" in str(requeue(tmp_path, signal.SIGTERM, 5, scontrol))
    assert scontrol.asked.count("requeue 8") == 1
    assert History.read(tmp_path) == History(time_limits=2, job="8", progress=5)
    assert "is requeued" in str(requeue(tmp_path, signal.SIGTERM, 6, scontrol))


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (SHOWN.replace("Requeue=1", "Requeue=0"), "submit it with `sbatch --requeue`"),
        (SHOWN.replace("BatchFlag=1", "BatchFlag=0"), "it was not submitted by sbatch"),
        (SHOWN.replace("RUNNING", "COMPLETING"), "it is COMPLETING: somebody has cancelled it"),
    ],
    ids=["forbidden", "interactive", "cancelled"],
)
def test_what_is_not_to_come_back_does_not(tmp_path: Path, shown: str, why: str) -> None:
    """SLURM itself would requeue a job that its user has just cancelled."""
    scontrol = Scontrol(shown)
    assert why in str(requeue(tmp_path, signal.SIGTERM, 1, scontrol))
    assert scontrol.asked == ["show job -o 7"]
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (FileNotFoundError(2, "No such file", "scontrol"), "there is no `scontrol` here"),
        (subprocess.CalledProcessError(1, ["scontrol"], stderr="Access denied\n"), "scontrol: Access denied"),
        (subprocess.TimeoutExpired(["scontrol"], 60), "scontrol: no answer within 60 s"),
    ],
    ids=["absent", "refused", "silent"],
)
def test_what_slurm_refuses_is_said_in_one_line(tmp_path: Path, error: Exception, why: str) -> None:
    said = str(requeue(tmp_path, signal.SIGTERM, 1, Scontrol(fails=error)))
    assert said.startswith("job 7 is not requeued: ") and why in said and "\n" not in said


def test_a_job_at_its_time_limit_is_requeued_in_the_seconds_it_has_left(tmp_path: Path) -> None:
    scontrol = Scontrol("Requeue=1 BatchFlag=1 JobState=COMPLETING Reason=TimeLimit")
    assert "is requeued (time limit)" in str(requeue(tmp_path, signal.SIGTERM, 1, scontrol))
    assert History.read(tmp_path).time_limits == 1


@pytest.mark.parametrize(
    ("text", "why"),
    {
        "empty": ("", "Expecting value"),
        "cut off": ("{", "Expecting property name"),
        "a list": ("[]", "all of it is []"),
        "another name": ('{"other": 1}', "other is 1"),
        "a number in words": ('{"time_limits": "two"}', "time_limits is 'two'"),
        "a truth value": ('{"preemptions": true}', "preemptions is True"),
        "no job": ('{"job": null}', "job is None"),
        "letters that are none": ("\xff", "can't decode"),
        "lists in lists": pytest.param("[" * 100_000, "nested too deeply", id="lists in lists"),
    }.values(),
    ids=str,
)
def test_a_history_that_is_none_is_written_anew_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / FILE).write_text(text, "latin-1")
    said = str(requeue(tmp_path, signal.SIGTERM, 3, Scontrol()))
    assert said.startswith("job 7 is requeued (preemption)") and f"; {FILE} is written anew (" in said
    assert why in said and "\n" not in said
    assert History.read(tmp_path) == History(preemptions=1, job="7", progress=3)
