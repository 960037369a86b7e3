"""`compare` in jobs of submitit, whose local stand-in needs no SLURM: success, time limit, going on, several tasks."""

import json
import os
import signal
import stat
import threading
import time
import types
from pathlib import Path

import pausing
import pytest
import submitit
from patience import PATIENCE, until

from mtl_lightning.cluster import queue as queues
from mtl_lightning.cluster.queue import Queue
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import make_plan
from mtl_lightning.compare.planning.settings import Settings
from mtl_lightning.compare.running.launchers import SlurmLauncher, processes
from mtl_lightning.compare.running.records import RESULT, SPENT, write_result
from mtl_lightning.compare.running.run import execute as executing
from mtl_lightning.compare.running.run.stopping import listening
from mtl_lightning.compare.running.store import FIT, Store
from mtl_lightning.errors import UserError
from mtl_lightning.stopping import Interrupted

SMALL = [
    *("--weightings=equal", "--single_task=false", "--seeds=1", "--wandb=off", "--probe=0", "--data.batch_size=16"),
    "--model.tasks.sum=null",
    *("--data.tasks=[left, right]", "--trainer.num_sanity_val_steps=0"),
    *(f"--data.datasets.digits.{split}={size}" for split, size in {"train": 64, "val": 16, "test": 16}.items()),
]


@pytest.fixture
def local_jobs(monkeypatch):
    """Jobs of submitit without a SLURM."""
    automatic = submitit.AutoExecutor
    monkeypatch.setattr(submitit, "AutoExecutor", lambda folder, cluster: automatic(folder, cluster="local"))


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A command in the place of SLURM's, and what it answers."""
    folder = tmp_path / "bin"
    folder.mkdir()
    answer, command = folder / "answer", folder / "squeue"
    command.write_text(f"#!/bin/sh\ncat {answer}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(queues, "_AGE", 0.0)
    monkeypatch.setattr(queues, "_SETTLED", 0.0)
    return answer


def only_run(*options):
    (run,) = make_plan(parse([*SMALL, *options])).all_runs()
    return run


def first_ended(launcher):
    return until(lambda: launcher.ended(0.2))[0]


def warn(job):
    """Does what SLURM does some time before the limit, which the stand-in's own process does not pass on."""
    pid = job._process.pid
    (task,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(task), signal.SIGUSR2)


def next_job(folder):
    """What a further job of a run does, but for the seconds in which it imports everything."""
    executing._job = lambda: types.SimpleNamespace(job_id="2", global_rank=0)
    executing.execute(str(folder), 1, False, "compare", wait=-1)


def test_a_job_that_is_warned_of_its_limit_stops_with_a_checkpoint_and_goes_on(
    tmp_path, local_jobs, squeue, monkeypatch
):
    squeue.write_text("")
    monkeypatch.setattr(queues, "_SETTLED", PATIENCE)  # the stand-in's jobs are in no queue
    monkeypatch.setenv("PYTHONPATH", str(Path(pausing.__file__).parent), prepend=os.pathsep)
    store, launcher = Store(tmp_path), SlurmLauncher(Settings(), tmp_path / "slurm")
    pause = {"class_path": "pausing.Pause", "init_args": {"step": 10, "mark": str(tmp_path / "paused")}}
    run = only_run("--trainer.max_epochs=12", f"--trainer.callbacks={json.dumps([pause])}")
    folder = store.prepare(run)
    launcher.start(run, folder)
    until(lambda: (tmp_path / "paused").exists(), going_on=launcher.running)
    warn(launcher._jobs[0][1])
    ended = first_ended(launcher)
    assert (ended.status, ended.message) == ("", "")
    stopped = store.result(run)
    assert stopped["status"] == "timeout" and "time limit" in stopped["message"]
    assert (folder / "checkpoints" / "last.ckpt").exists()
    assert 0 < json.loads((folder / SPENT).read_text()) <= stopped["seconds"]

    assert store.prepare(run) == folder and not (folder / RESULT).exists()
    process = processes().Process(target=next_job, args=(folder,))
    process.start()
    process.join()
    result = store.result(run)
    assert (result["status"], result["costs"]["steps"]) == ("finished", 48)
    assert result["seconds"] > stopped["seconds"]
    assert "Restored all states" in (folder / "log.txt").read_text()
    assert not (folder / "checkpoints").exists()


def test_a_job_that_is_in_the_queue_is_waited_for_and_not_submitted_again(tmp_path, local_jobs, squeue):
    run = only_run()
    submitted = tmp_path / "slurm" / "7_submitted.pkl"
    folder = Store(tmp_path).prepare(run)
    (folder / "job.json").write_text(json.dumps({"id": "7", "tasks": 1, "folder": str(submitted.parent)}))
    launcher = SlurmLauncher(Settings(), submitted.parent)
    launcher._executor.submit = lambda *arguments, **options: pytest.fail("submitted again")
    squeue.write_text("7 RUNNING\n")
    launcher.start(run, folder)
    assert launcher.ended(0.0) == []
    squeue.write_text("7 TIMEOUT\n")
    ended = first_ended(launcher)
    assert (ended.run, ended.status) == (run, "timeout") and "job 7, TIMEOUT" in ended.message


@pytest.mark.parametrize("state", ["COMPLETED", "CANCELLED", ""])
def test_a_job_that_has_left_the_queue_is_submitted_again(tmp_path, local_jobs, squeue, state):
    squeue.write_text(f"7 {state}\n" if state else "8 RUNNING\n")
    folder = Store(tmp_path).prepare(run := only_run())
    (folder / "job.json").write_text(json.dumps({"id": "7", "tasks": 1, "folder": "anywhere"}))
    launcher, submitted = SlurmLauncher(Settings(), tmp_path / "slurm"), []
    job = types.SimpleNamespace(job_id="9", num_tasks=2)
    launcher._executor.submit = lambda *arguments, **options: submitted.append(arguments) or job
    launcher.start(run, folder)
    assert len(submitted) == 1
    assert json.loads((folder / "job.json").read_text())["id"] == "9"


@pytest.mark.parametrize("left", [[7], {"id": 7}, {"id": "7", "tasks": "1", "folder": "x"}])
def test_a_record_of_a_job_that_is_broken_is_one_line(tmp_path, local_jobs, squeue, left):
    (tmp_path / "job.json").write_text(json.dumps(left))
    with pytest.raises(UserError, match=r"job\.json is broken: it .*; remove it"):
        SlurmLauncher(Settings(), tmp_path / "slurm").start(only_run(), tmp_path)


def test_a_queue_that_does_not_answer_has_lost_nothing(monkeypatch):
    monkeypatch.setattr(queues, "_COMMAND", ("false",))
    monkeypatch.setattr(queues, "_SETTLED", -1.0)
    queue = Queue()
    assert not queue.lost("7", time.time() - 100)
    assert queue.state("7") is None


def test_a_job_that_slurm_refuses_is_one_line(tmp_path, local_jobs):
    launcher = SlurmLauncher(Settings(), tmp_path / "slurm")

    def refuse(*arguments, **options):
        raise submitit.core.utils.FailedJobError("sbatch: error: invalid partition specified: nowhere\n")

    launcher._executor.submit = refuse
    with pytest.raises(UserError, match=r"slurm refuses the job of equal.*: invalid partition specified: nowhere$"):
        launcher.start(only_run(), tmp_path)


def test_further_tasks_of_a_job_wait_for_the_first_one(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(executing, "_fit", lambda *arguments: begun.append(arguments))
    monkeypatch.setattr(executing, "_LOOK", 0.01)
    started = executing._started(tmp_path, types.SimpleNamespace(job_id="12"))
    executing._started(tmp_path, types.SimpleNamespace(job_id="11")).touch()  # of a job before
    # the first one is about to go on from there
    write_result(tmp_path / RESULT, {"status": "timeout", "message": "", "seconds": 1.0})
    thread = threading.Thread(target=executing._help, args=(tmp_path, 1, started))
    thread.start()
    time.sleep(0.1)
    assert thread.is_alive() and not begun
    started.touch()
    thread.join(PATIENCE)
    assert begun == [(tmp_path, 1)]


def test_further_tasks_of_a_job_end_where_the_run_is_over(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(executing, "_fit", lambda *arguments: begun.append(arguments))
    write_result(tmp_path / RESULT, {"status": "failed", "message": "", "seconds": 1.0})
    executing._help(tmp_path, 1, tmp_path / "started-12-0")
    assert begun == []


def test_a_requeued_job_waits_anew(tmp_path, monkeypatch):
    job = types.SimpleNamespace(job_id="12")
    before = executing._started(tmp_path, job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert executing._started(tmp_path, job) != before


@pytest.mark.parametrize("warning", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_warning_asks_to_stop_once(warning):
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    with listening():
        with pytest.raises(Interrupted) as stopped:
            signal.raise_signal(warning)
        assert stopped.value.code == 128 + signal.SIGTERM
        signal.raise_signal(warning)
    assert {number: signal.getsignal(number) for number in numbers} == before


def test_jobs_of_submitit_run_and_say_what_went_wrong(tmp_path, local_jobs):
    launcher = SlurmLauncher(Settings(time_limit=PATIENCE / 60), tmp_path / "jobs")
    run = only_run()
    (tmp_path / FIT).write_text("name: one\n")
    (tmp_path / "log.txt").mkdir()
    launcher.start(run, tmp_path)
    assert launcher.running() == [run]
    ended = first_ended(launcher)
    assert ended.status == "failed" and "log.txt: Is a directory" in ended.message
    assert launcher.running() == []


def test_a_machine_without_slurm_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"slurm: .*srun"):
        SlurmLauncher(Settings(), tmp_path)


def test_unknown_settings_of_slurm_are_one_line(tmp_path, local_jobs):
    with pytest.raises(UserError, match=r"slurm: .*partitoin"):
        SlurmLauncher(Settings(slurm={"partitoin": "gpu"}), tmp_path)
