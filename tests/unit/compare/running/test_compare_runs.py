"""How `compare` runs a plan: the order of things, searches, processes, jobs, and what a run records."""

import multiprocessing
import os
from io import StringIO
from pathlib import Path

import pytest
from filelock import FileLock
from lightning.pytorch import Callback
from rich.console import Console

from mtl_lightning.compare.planning.catalogue import Choice
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import Run, make_plan
from mtl_lightning.compare.running import store as stores
from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.conduct import conduct
from mtl_lightning.compare.running.estimate import show_estimate
from mtl_lightning.compare.running.launchers import Ended, Launcher, processes
from mtl_lightning.compare.running.records import RESULT, write_result
from mtl_lightning.compare.running.run.execute import _clean, execute
from mtl_lightning.compare.running.show import show_plan
from mtl_lightning.compare.running.store import LOCK, Store
from mtl_lightning.errors import UserError


def plan(*arguments):
    return make_plan(parse(["--single_task=false", *arguments]))


def finished(run, average=0.5):
    """What a run comes to that nobody looks at closely."""
    meaning = {"main": "accuracy", "higher_is_better": {"accuracy": True}}
    metrics = dict.fromkeys(run.config["model"]["tasks"], meaning)
    scores = {**{task: {"accuracy": average} for task in metrics}, "average": average}
    rest = {"scores": scores, "metrics": metrics, "costs": {}, "cosines": []}
    return {"status": "finished", "message": "", "seconds": 1.0, **rest}


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
        write_result(self.store.path(run) / RESULT, finished(run, -abs(rate - 0.004)))
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
    assert not conduct(agenda, store, launcher, Silent())
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
    weights = dict.fromkeys((f"model.weighting.weights.{task}" for task in made.tasks), 1.0)
    first = {label: search.trials[0]["settings"] for label, search in agenda.searches.items()}
    lr = {"model.optimizer.lr": 0.003}
    assert first == {
        **{"equal": lr, "upgrad": lr, "cagrad": {**lr, "model.weighting.c": 0.5}, "tuned weights": {**lr, **weights}}
    }
    for search in agenda.searches.values():
        rates = [trial["settings"]["model.optimizer.lr"] for trial in search.trials[:4]]
        assert rates == [trial["settings"]["model.optimizer.lr"] for trial in agenda.searches["equal"].trials[:4]]
        assert len({tuple(trial["settings"].values()) for trial in search.trials}) == 6


def test_short_searches_try_both_sides_of_every_range(tmp_path):
    agenda, _, _ = conducted(plan("--weightings=equal,rlw", "--tune=3", "--seeds=1"), tmp_path)
    for label, search in agenda.searches.items():
        for key, searched in search.contestant.searched.items():
            one, other = (trial["settings"][key] for trial in search.trials[1:])
            if isinstance(searched, Choice):
                assert {one, other} == set(searched.values)
            else:
                assert searched.low <= min(one, other) < searched.at(0.5) < max(one, other) <= searched.high, label


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


def test_what_is_left_counts_what_searches_have_yet_to_decide(tmp_path):
    made = plan("--weightings=equal,cagrad", "--pairs=true", "--tune=7", "--seeds=2", "--workers=2")
    store = Store(tmp_path)
    assert {contestant.label: number for contestant, number in Agenda(made, store).left()} == dict.fromkeys(
        ("equal", "cagrad", "tuned weights", "pair left + right", "pair left + sum", "pair right + sum"), 9
    )
    agenda, launcher, _ = conducted(made, tmp_path)
    assert len(launcher.started) == made.num_runs() == 6 * 9
    assert {number for _, number in agenda.left()} == {0}
    searched = [run for run in launcher.started if run.contestant.label == "cagrad" and run.role == "tune"]
    for run in searched[3:]:
        (store.path(run) / RESULT).unlink()
    left = {contestant.label: number for contestant, number in Agenda(made, Store(tmp_path)).left()}
    assert left == dict.fromkeys(left, 0) | {"cagrad": 4 + 2}
    printed = Console(file=StringIO(), width=200)
    show_estimate(made, Store(tmp_path), printed)
    said = printed.file.getvalue()
    basis = "estimated from 48 runs that have finished"
    assert said == f"About 3 s for the 6 remaining runs, 2 at a time (6 s of computing), {basis}.\n"


def test_changes_are_shown_as_a_config_has_them(tmp_path):
    variant = "--variant=other={model.lr_scheduler: null, data.shuffle: true, model.weighting: PCGrad}"
    printed = Console(file=StringIO(), width=200)
    show_plan(plan("--single_task=false", variant), Store(tmp_path), tmp_path, printed)
    assert "lr_scheduler: null, data.shuffle: true, weighting: PCGrad" in printed.file.getvalue()


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


# -- one comparison at a time ------------------------------------------------------------------------------------------
def test_a_folder_is_for_one_comparison_at_a_time(tmp_path):
    made = plan("--weightings=equal", "--seeds=1")
    with Store(tmp_path).locked():
        store = Store(tmp_path)
        launcher = Pretended(store)
        said = rf"another compare is running in {tmp_path} \(process {os.getpid()}\); wait for it or give another --out"
        with pytest.raises(UserError, match=said):
            conduct(Agenda(made, store), store, launcher, Silent())
        assert not launcher.started
    with store.locked(), store.locked():
        assert not conduct(Agenda(made, store), store, launcher, Silent())
    conducted(made, tmp_path)


def test_a_run_that_another_process_is_at_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "_PATIENCE", 0.1)
    made, store = plan("--weightings=equal", "--seeds=1"), Store(tmp_path)
    (run,) = made.all_runs()
    folder, told = store.prepare(run), []
    watched = Silent()
    watched.tell = lambda run, result: told.append(result["status"])
    with FileLock(folder / LOCK):
        assert not conduct(Agenda(made, store), store, Pretended(store, broken=("equal",)), watched)
        assert told == ["missing"] and not (folder / RESULT).exists()
        write_result(folder / RESULT, finished(run) | {"status": "failed"})
        with pytest.raises(UserError, match="another process is still running in"):
            store.prepare(run)
    assert (folder / RESULT).exists()


def test_runs_are_stopped_whatever_ends_the_comparison(tmp_path):
    made, store = plan("--weightings=equal", "--seeds=1"), Store(tmp_path)
    launcher = Pretended(store)
    launcher.ended = lambda timeout: [][0]
    with pytest.raises(IndexError):
        conduct(Agenda(made, store), store, launcher, Silent())
    assert launcher.started and not launcher.running()


# -- what a run records ------------------------------------------------------------------------------------------------
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


class StartMethod(Callback):
    """Tells how the run's own processes are started."""

    def on_train_start(self, trainer, pl_module):
        Path(trainer.default_root_dir, "method.txt").write_text(multiprocessing.get_start_method())


def test_a_run_starts_processes_as_fit_does(tmp_path):
    brief = ("--trainer.max_steps=1", "--data.datasets.digits.train=64", "--data.datasets.digits.val=32")
    spy = f"--trainer.callbacks+={__name__}.StartMethod"
    made, store = (
        plan("--weightings=equal", "--seeds=1", "--data.num_workers=1", "--wandb=off", spy, *brief),
        Store(tmp_path),
    )
    (run,) = made.all_runs()
    process = processes().Process(target=execute, args=(str(store.prepare(run)), 1, False, "compare"))
    process.start()
    process.join()
    assert store.result(run)["status"] == "finished", store.result(run)["message"]
    assert (store.path(run) / "method.txt").read_text() == multiprocessing.get_start_method()


def test_what_a_run_leaves_of_its_checkpoints(tmp_path):
    for keep, left in ((False, ["not_finite.ckpt"]), (True, ["best.ckpt", "not_finite.ckpt"])):
        folder = tmp_path / str(keep)
        (folder / "checkpoints").mkdir(parents=True)
        for name in ("best", "last", "not_finite"):
            (folder / "checkpoints" / f"{name}.ckpt").touch()
        _clean(folder, keep)
        assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == left
