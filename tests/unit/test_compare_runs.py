"""How `compare` runs a plan: the order of things, searches, processes, jobs, and what a run records."""

import json
import os
import time
from pathlib import Path

import pytest
import submitit
import torch
from torch import nn

from mtl_lightning.compare.agenda import Agenda
from mtl_lightning.compare.conduct import conduct
from mtl_lightning.compare.execute import execute
from mtl_lightning.compare.launchers import Ended, Launcher, LocalLauncher, SlurmLauncher, local, processes
from mtl_lightning.compare.launchers.hardware import gpus
from mtl_lightning.compare.measure import PassCounter, PeakMemory, Stopwatch
from mtl_lightning.compare.options import parse
from mtl_lightning.compare.plan import Run, make_plan
from mtl_lightning.compare.settings import Settings
from mtl_lightning.compare.store import RESULT, Store
from mtl_lightning.errors import UserError


def plan(*arguments):
    return make_plan(parse(["--single_task=false", *arguments]))


class Pretended(Launcher):
    """Ends runs in an order of its own; the score of a run is a function of its learning rate."""

    def __init__(self, store, workers=2, newest_first=False, broken=()):
        self.store, self.workers, self.newest_first, self.broken = store, workers, newest_first, broken
        self.under_way: list[Run] = []
        self.started: list[Run] = []

    def free(self):
        return len(self.under_way) < self.workers

    def start(self, run, folder):
        self.under_way.append(run)
        self.started.append(run)

    def ended(self, timeout):
        run = self.under_way.pop(-1 if self.newest_first else 0)
        if run.contestant.label in self.broken:
            return [Ended(run, "failed", "broken", 1.0)]
        rate = run.config["model"]["optimizer"]["init_args"]["lr"]
        result = {"status": "finished", "seconds": 1.0, "scores": {"average": -abs(rate - 0.004)}}
        (self.store.path(run) / RESULT).write_text(json.dumps(result))
        return [Ended(run, "", "", 1.0)]

    def running(self):
        return self.under_way

    def stop(self):
        self.under_way = []


class Silent:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def show(self, agenda, running):
        pass

    def tell(self, run, result):
        pass

    def say(self, text):
        pass


def conducted(made, folder, **options):
    store = Store(folder)
    agenda, launcher = Agenda(made, store), Pretended(store, **options)
    assert conduct(agenda, store, launcher, Silent())
    return agenda, launcher, store


# -- order and searches ------------------------------------------------------------------------------------------------
def test_seeds_come_before_contestants(tmp_path):
    _, launcher, _ = conducted(plan("--weightings=equal,upgrad", "--seeds=2"), tmp_path)
    assert [(run.seed, run.contestant.label) for run in launcher.started] == [
        *((0, "equal"), (0, "upgrad"), (1, "equal"), (1, "upgrad"))
    ]


def test_every_contestant_has_the_same_budget_and_starts_from_the_config(tmp_path):
    made = plan("--weightings=equal,cagrad,upgrad", "--tune=6", "--seeds=1")
    agenda, _, _ = conducted(made, tmp_path)
    assert {label: len(search.trials) for label, search in agenda.searches.items()} == dict.fromkeys(
        ("equal", "cagrad", "upgrad", "tuned weights"), 6
    )
    for search in agenda.searches.values():
        assert search.trials[0]["settings"]["model.optimizer.lr"] == 0.003
        assert len({tuple(trial["settings"].values()) for trial in search.trials}) == 6


def test_the_best_trial_is_chosen_and_run_with_every_seed(tmp_path):
    agenda, launcher, _ = conducted(plan("--weightings=equal", "--tune=5", "--seeds=2"), tmp_path)
    best = max(agenda.searches["equal"].trials, key=lambda trial: trial["value"])["settings"]["model.optimizer.lr"]
    reported = [run for run in launcher.started if run.role == "compare" and run.contestant.label == "equal"]
    assert [run.config["model"]["optimizer"]["init_args"]["lr"] for run in reported] == [best, best]
    assert all(0.0006 <= t["settings"]["model.optimizer.lr"] <= 0.015 for t in agenda.searches["equal"].trials)


def test_a_search_does_not_depend_on_workers_or_on_what_ends_first(tmp_path):
    made = plan("--weightings=equal,cagrad", "--tune=7", "--seeds=1")
    one, _, _ = conducted(made, tmp_path / "one", workers=1)
    other, _, _ = conducted(made, tmp_path / "other", workers=9, newest_first=True)
    for label, search in one.searches.items():
        assert search.trials == other.searches[label].trials


def test_a_search_that_goes_on_asks_for_the_same_and_runs_nothing_twice(tmp_path):
    made = plan("--weightings=equal,cagrad", "--tune=7", "--seeds=1")
    first, launched, store = conducted(made, tmp_path)
    for run in launched.started[5:]:
        (store.path(run) / RESULT).unlink()
    again, launched_again, _ = conducted(made, tmp_path)
    assert {r.key for r in launched_again.started} == {r.key for r in launched.started[5:]}
    assert {k: s.trials for k, s in again.searches.items()} == {k: s.trials for k, s in first.searches.items()}


def test_contestants_that_are_the_same_share_their_runs(tmp_path):
    made = plan("--weightings=equal", "--variant=again={model.weighting: EqualWeighting}", "--tune=5", "--seeds=2")
    agenda, launcher, _ = conducted(made, tmp_path)
    assert [run.key for run in agenda.runs["equal"]] == [run.key for run in agenda.runs["again"]]
    assert len({run.key for run in launcher.started}) == len(launcher.started)


def test_a_search_whose_runs_all_fail_keeps_the_config_and_goes_on(tmp_path):
    made = plan("--weightings=equal,upgrad", "--tune=3", "--seeds=2")
    agenda, _, store = conducted(made, tmp_path, broken=("upgrad",))
    assert agenda.chosen()["upgrad"] == {}
    assert [store.result(run)["status"] for run in agenda.runs["upgrad"]] == ["failed", "failed"]
    assert [store.result(run)["status"] for run in agenda.runs["equal"]] == ["finished", "finished"]


def test_what_failed_is_tried_again_once_a_comparison(tmp_path):
    made = plan("--weightings=equal,upgrad", "--seeds=2")
    conducted(made, tmp_path, broken=("upgrad",))
    _, launcher, _ = conducted(made, tmp_path)
    assert [run.contestant.label for run in launcher.started] == ["upgrad", "upgrad"]


@pytest.mark.parametrize(
    ("status", "kept"), [("finished", True), ("diverged", True), ("solver", True), ("failed", False)]
)
def test_what_a_run_would_come_to_again_is_kept(tmp_path, status, kept):
    made, store = plan("--weightings=equal", "--seeds=1"), Store(tmp_path)
    (run,) = made.all_runs()
    store.prepare(run)
    (store.path(run) / "rest").touch()
    store.fail(run, status, "", 1.0)
    assert store.is_done(run) is kept
    assert (store.prepare(run) / "rest").exists() is (status == "timeout")


def test_a_run_is_found_by_its_key_whatever_it_was_called(tmp_path):
    made, store = plan("--weightings=equal", "--seeds=1"), Store(tmp_path)
    (run,) = made.all_runs()
    folder = store.prepare(run)
    folder.rename(folder.with_name(f"before-{run.key}"))
    assert store.path(run).name == f"before-{run.key}"


# -- processes and jobs ------------------------------------------------------------------------------------------------
def test_a_process_that_is_deaf_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_GRACE", 0.5)
    monkeypatch.setattr(local, "_in_slot", _deaf)
    monkeypatch.setattr("mtl_lightning.compare.launchers.forking._PRELOADED", [])
    launcher = LocalLauncher(Settings(time_limit=0.02, workers=1))
    (run,) = plan("--weightings=equal", "--seeds=1").all_runs()
    launcher.start(run, tmp_path)
    assert not launcher.free()
    found, until = [], time.time() + 60
    while not found and time.time() < until:
        found = launcher.ended(0.1)
    assert [(ended.run, ended.status) for ended in found] == [(run, "timeout")]
    assert launcher.free()


def _deaf(*arguments):
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def test_a_process_that_dies_says_of_what(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_in_slot", _dying)
    monkeypatch.setattr("mtl_lightning.compare.launchers.forking._PRELOADED", [])
    launcher = LocalLauncher(Settings(workers=1))
    (run,) = plan("--weightings=equal", "--seeds=1").all_runs()
    launcher.start(run, tmp_path)
    found, until = [], time.time() + 60
    while not found and time.time() < until:
        found = launcher.ended(0.1)
    assert (found[0].status, found[0].message) == ("failed", "was killed by signal 9: out of memory?")


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


@pytest.fixture
def local_jobs(monkeypatch):
    """Jobs of submitit without a SLURM."""
    automatic = submitit.AutoExecutor
    monkeypatch.setattr(submitit, "AutoExecutor", lambda folder, cluster: automatic(folder, cluster="local"))


def test_jobs_of_submitit_run_and_say_what_went_wrong(tmp_path, local_jobs):
    launcher = SlurmLauncher(Settings(time_limit=1), tmp_path / "jobs")
    (run,) = plan("--weightings=equal", "--seeds=1").all_runs()
    (tmp_path / "file").touch()
    launcher.start(run, tmp_path / "file")
    assert launcher.running() == [run]
    found, until = [], time.time() + 100
    while not found and time.time() < until:
        found = launcher.ended(1.0)
    assert found[0].status == "failed" and "FileExistsError" in found[0].message
    assert launcher.running() == []


def test_a_machine_without_slurm_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"slurm: .*srun"):
        SlurmLauncher(Settings(), tmp_path)


def test_unknown_settings_of_slurm_are_one_line(tmp_path, local_jobs):
    with pytest.raises(UserError, match=r"slurm: .*partitoin"):
        SlurmLauncher(Settings(slurm={"partitoin": "gpu"}), tmp_path)


# -- what a run records ------------------------------------------------------------------------------------------------
class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, inputs):
        return self.layer(inputs).relu()


def test_backward_passes_are_counted_for_each_forward_pass():
    encoder = Encoder()
    counter = PassCounter(encoder)
    assert counter.read() is None
    features = encoder(torch.ones(2, 3))
    for task in range(3):
        torch.autograd.grad(features[:, task].sum(), encoder.layer.weight, retain_graph=True)
    assert counter.read() == 3
    (encoder(torch.ones(2, 3)).sum() + encoder(torch.ones(2, 3)).sum()).backward()
    assert counter.read() == 1
    features = encoder(torch.ones(2, 3))
    torch.autograd.grad(features.sum(), features, retain_graph=True)
    features.sum().backward()
    assert counter.read() == 1
    with torch.no_grad():
        encoder(torch.ones(2, 3))
    assert counter.read() is None
    counter.remove()
    encoder(torch.ones(2, 3)).sum().backward()
    assert counter.read() is None


def test_peak_memory_is_what_training_held_at_most():
    memory = PeakMemory()
    memory.start(torch.device("cpu"))
    before = memory.read(torch.device("cpu"))
    held = torch.ones(64 * 2**20 // 4)
    del held
    assert 50 * 2**20 < memory.read(torch.device("cpu")) - before < 200 * 2**20
    memory.start(torch.device("cpu"))
    assert memory.read(torch.device("cpu")) - before < 50 * 2**20


def test_the_first_laps_warm_up():
    watch = Stopwatch(warm_up=2)
    watch.start()
    assert [watch.lap() is None for _ in range(4)] == [True, True, False, False]


def test_a_mistake_in_a_config_is_the_runs_message(tmp_path, monkeypatch):
    made, store = plan("--weightings=equal", "--seeds=1", "--model.encoder.channles=[1]"), Store(tmp_path)
    (run,) = made.all_runs()
    folder = store.prepare(run)
    process = processes().Process(target=execute, args=(str(folder), 1, False, "compare"))
    process.start()
    process.join()
    result = store.result(run)
    assert result["status"] == "failed" and "did you mean 'channels'" in result["message"]
    assert "channles" in Path(folder, "log.txt").read_text()
