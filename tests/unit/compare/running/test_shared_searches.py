"""Several processes at one comparison: they divide its runs, and search together."""

import json
import multiprocessing
import time
from collections import Counter

import pytest
from patience import PATIENCE
from test_compare_runs import Pretended, Silent, conducted, plan

from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.claims import Claims
from mtl_lightning.compare.running.conduct import conduct
from mtl_lightning.compare.running.search import Search
from mtl_lightning.compare.running.store import Store

OPTIONS = ("--weightings=equal,cagrad", "--tune=10", "--seeds=2")


class Slow(Pretended):
    """Takes a moment for a run, so that the other process finds it under way."""

    def ended(self, timeout):
        time.sleep(0.01)
        return super().ended(timeout) if self.under_way else []


def work(folder, name, broken=()):
    store = Store(folder, shared=True)
    agenda, launcher = Agenda(plan(*OPTIONS), store, shared=True), Slow(store, workers=2, broken=broken)
    status = conduct(agenda, store, launcher, Silent())
    trials = {label: search.trials for label, search in agenda.searches.items()}
    (folder / f"{name}.json").write_text(json.dumps([status, [run.key for run in launcher.started], trials]))


def together(folder, **options):
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=work, args=(folder, name), kwargs=options) for name in ("one", "other")]
    for process in started:
        process.start()
    for process in started:
        process.join(PATIENCE)
        assert process.exitcode == 0
    return [json.loads((folder / f"{name}.json").read_text()) for name in ("one", "other")]


@pytest.mark.parametrize("broken", [(), ("cagrad",)], ids=["all finish", "some fail"])
def test_two_processes_never_take_the_same_trial_and_find_the_same(tmp_path, broken):
    one, other = together(tmp_path, broken=broken)
    assert one[0] == other[0] == 0
    assert set(Counter(one[1] + other[1]).values()) == {1}
    assert one[1] and other[1]
    assert one[2] == other[2]
    assert {len(trials) for trials in one[2].values()} == {10}
    assert len(one[1]) + len(other[1]) == len({run.name for run in Store(tmp_path).folder.glob("*-*")})


def test_what_is_tried_does_not_depend_on_who_tries_it(tmp_path):
    (tmp_path / "two").mkdir()
    (tmp_path / "alone").mkdir()
    one, _ = together(tmp_path / "two")
    work(tmp_path / "alone", "one")
    assert json.loads((tmp_path / "alone" / "one.json").read_text())[2] == one[2]


def test_a_search_that_is_shared_goes_on_where_it_was(tmp_path):
    work(tmp_path, "one")
    first = json.loads((tmp_path / "one.json").read_text())
    work(tmp_path, "again")
    assert json.loads((tmp_path / "again.json").read_text()) == [0, [], first[2]]


def test_a_run_is_free_again_when_it_has_ended(tmp_path):
    run = plan("--weightings=equal", "--seeds=1").all_runs()[0]
    here, there = Claims(tmp_path), Claims(tmp_path)
    assert here.take(run) and not there.take(run)
    here.release(run)
    assert there.take(run)


def test_the_first_round_is_that_of_a_search_alone(tmp_path):
    alone, _, _ = conducted(plan(*OPTIONS), tmp_path / "alone")
    (tmp_path / "shared").mkdir()
    work(tmp_path / "shared", "one")
    shared = json.loads((tmp_path / "shared" / "one.json").read_text())[2]
    assert isinstance(alone.searches["equal"], Search)
    assert {label: trials[:4] for label, trials in shared.items()} == {
        label: search.trials[:4] for label, search in alone.searches.items()
    }
