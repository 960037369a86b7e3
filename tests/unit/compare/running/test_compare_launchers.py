"""Where `compare` runs its runs: processes, devices and cores."""

import os
import time

import pytest
from patience import PATIENCE, until
from test_compare_runs import plan

from mtl_lightning.compare.planning.settings import Settings
from mtl_lightning.compare.running.launchers import LocalLauncher, devices_of, launcher, local, prepare_processes
from mtl_lightning.compare.running.launchers.hardware import gpus
from mtl_lightning.errors import UserError


def test_a_process_that_is_deaf_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_GRACE", 0.5)
    monkeypatch.setattr(local, "_in_slot", _deaf)
    launcher = LocalLauncher(Settings(time_limit=0.02, workers=1))
    (run,) = plan("--weightings=equal", "--seeds=1").all_runs()
    launcher.start(run, tmp_path)
    assert not launcher.free()
    found = until(lambda: launcher.ended(0.1))
    assert [(ended.run, ended.status) for ended in found] == [(run, "timeout")]
    assert launcher.free()


def _deaf(*arguments):
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(2 * PATIENCE)


def test_a_process_that_dies_says_of_what(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_in_slot", _dying)
    launcher = LocalLauncher(Settings(workers=1))
    (run,) = plan("--weightings=equal", "--seeds=1").all_runs()
    launcher.start(run, tmp_path)
    found = until(lambda: launcher.ended(0.1))
    assert (found[0].status, found[0].message) == (
        "failed",
        "was killed by SIGKILL, as the system does when memory runs out",
    )


def _dying(*arguments):
    os.kill(os.getpid(), 9)


@pytest.mark.parametrize(("visible", "expected"), [("0,2", ["0", "2"]), ("", []), ("-1", []), ("GPU-abc", ["GPU-abc"])])
def test_gpus_are_those_that_may_be_used(monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert list(gpus()) == expected


def test_workers_are_as_many_as_gpus_or_as_cores_allow(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert LocalLauncher(Settings()).workers == 3
    two = LocalLauncher(Settings(), devices=2)
    assert (two.workers, two._device(0), LocalLauncher(Settings())._device(2)) == (1, "0,1", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(local, "cores", lambda: [4, 5, 6, 7])
    assert LocalLauncher(Settings(threads=2)).workers == 2
    assert [LocalLauncher(Settings(threads=2))._cores(slot) for slot in (0, 1)] == [[4, 5], [6, 7]]
    assert LocalLauncher(Settings(threads=2, workers=3))._cores(0) == []


def test_a_run_on_a_gpu_has_its_share_of_all_cores(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(local, "cores", lambda: list(range(16)))
    assert (LocalLauncher(Settings()).threads, LocalLauncher(Settings())._cores(0)) == (8, [])
    assert LocalLauncher(Settings(), devices=2).threads == 8
    assert LocalLauncher(Settings(threads=4, workers=8)).threads == 4
    on_cpu = LocalLauncher(Settings(), use_gpus=False)
    assert (on_cpu.workers, on_cpu.threads, on_cpu._device(0)) == (16, 1, None)


@pytest.mark.parametrize(("visible", "limited"), [("", True), ("0", False)])
def test_threads_of_libraries_are_limited_where_runs_share_cores(monkeypatch, visible, limited):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    prepare_processes(Settings(threads=2))
    assert os.environ["OMP_NUM_THREADS"] == ("2" if limited else "7")


def test_two_comparisons_that_leave_cores_do_not_share_one(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(local, "cores", lambda: [4, 5])
    assert LocalLauncher(Settings(workers=1))._cores(0) == []
    assert LocalLauncher(Settings(workers=2))._cores(1) == [5]


@pytest.mark.parametrize(("devices", "number"), [(None, 1), ("auto", 1), (2, 2), ("2", 2)])
def test_devices_of_a_run(devices, number):
    made = plan("--weightings=equal", "--seeds=1")
    made.base.setdefault("trainer", {})["devices"] = devices
    assert devices_of(made) == number


@pytest.mark.parametrize("devices", [[1], "0,1", -1, "-1", 0, True])
def test_which_devices_is_not_for_a_config_to_say(tmp_path, devices):
    made = plan("--weightings=equal", "--seeds=1")
    made.base.setdefault("trainer", {})["devices"] = devices
    with pytest.raises(UserError, match=r"trainer\.devices: give a number, found"):
        launcher(made, tmp_path)


def test_an_accelerator_in_the_config_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    made = plan("--weightings=equal", "--seeds=1", "--trainer.accelerator=cpu")
    assert launcher(made, tmp_path)._device(0) is None
    assert launcher(plan("--weightings=equal"), tmp_path)._device(0) == "0"
