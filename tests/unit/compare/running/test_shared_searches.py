"""Several processes at one comparison: they divide its runs, and search together."""

import errno
import fcntl
import inspect
import json
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from patience import PATIENCE
from test_compare_runs import Pretended, Silent, conducted, plan

from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.claims import Claims
from mtl_lightning.compare.running.conduct import conduct
from mtl_lightning.compare.running.search import Search
from mtl_lightning.compare.running.store import Store
from mtl_lightning.errors import UserError

OPTIONS = ("--weightings=equal,cagrad", "--tune=6", "--seeds=2")


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


def started(target, *arguments, **options):
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments, kwargs=options)
    process.start()
    return process


def status_of(process):
    process.join(PATIENCE)
    process.kill()
    return process.exitcode


def together(folder, **options):
    assert [*map(status_of, [started(work, folder, name, **options) for name in ("one", "other")])] == [0, 0]
    return [json.loads((folder / f"{name}.json").read_text()) for name in ("one", "other")]


@pytest.mark.parametrize("broken", [(), ("cagrad",)], ids=["all finish", "some fail"])
def test_two_processes_never_take_the_same_trial_and_find_the_same(tmp_path, broken):
    one, other = together(tmp_path, broken=broken)
    assert one[0] == other[0] == 0
    assert set(Counter(one[1] + other[1]).values()) == {1}
    assert one[1] and other[1]
    assert one[2] == other[2]
    assert {len(trials) for trials in one[2].values()} == {6}
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


def begin(folder):
    Agenda(plan(*OPTIONS), Store(folder), shared=True)


def killed_while_it_writes(folder):
    os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
    begin(folder)


def test_one_that_is_killed_while_it_writes_keeps_nobody_waiting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("out")
    folder.mkdir()
    assert status_of(started(killed_while_it_writes, folder)) == -signal.SIGKILL
    assert status_of(started(begin, folder)) == 0


def test_a_last_line_of_a_journal_that_is_not_whole_does_not_count(tmp_path):
    work(tmp_path, "one")
    journals = {path: path.read_bytes() for path in tmp_path.glob("shared/*.journal")}
    for path, whole in journals.items():
        path.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 9])  # the last trial is not told
    work(tmp_path, "again")
    assert json.loads((tmp_path / "again.json").read_text())[2] == json.loads((tmp_path / "one.json").read_text())[2]
    found = [json.loads(line) for path in journals for line in path.read_text().splitlines()]
    assert sum(line.get("values") is not None for line in found) == 3 * 6


def test_a_journal_that_is_broken_is_one_line(tmp_path):
    work(tmp_path, "one")
    for journal in tmp_path.glob("shared/*.journal"):
        journal.write_bytes(b"\x00\x00\xff\n" + journal.read_bytes())
    with pytest.raises(UserError, match=r"\.journal is broken \(.*\); remove it"):
        work(tmp_path, "again")


def test_what_failed_is_tried_again_by_those_that_start_later_except_for_trials(tmp_path):
    work(tmp_path, "one", broken=("cagrad",))
    work(tmp_path, "later")
    later = json.loads((tmp_path / "later.json").read_text())[1]
    assert later == [run.key for run in plan(*OPTIONS).all_runs() if run.contestant.label == "cagrad"]


def agendas(folder, *options):
    """Those of two processes that start together."""
    return [Agenda(plan("--weightings=equal", *options), Store(folder, shared=True), shared=True) for _ in range(2)]


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_what_broke_on_one_is_not_tried_again_by_the_others(tmp_path, status):
    one, other = agendas(tmp_path, "--seeds=1")
    run = one.next()
    one.store.fail(run, status, "", 1.0)
    assert other.next() is None and other.waits()
    one.done(run)
    assert other.next() is None and not other.waits()
    assert other.to_repeat() == [run]
    later, latest = agendas(tmp_path, "--seeds=1")
    assert later.next() == run
    later.store.prepare(run)
    later.store.fail(run, status, "", 2.0)
    later.done(run)
    assert latest.next() is None and not latest.waits()


def test_however_many_runs_ended_meanwhile(tmp_path):
    one, other = agendas(tmp_path, "--seeds=60")
    while (run := one.next()) is not None:
        one.store.fail(run, "failed", "", 1.0)
        one.done(run)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert other.next() is None
    finally:
        sys.setrecursionlimit(limit)
    assert not other.waits()


@pytest.mark.parametrize(("first", "then"), [(True, False), (False, True)], ids=["shared first", "shared last"])
def test_one_that_shares_and_one_that_does_not_are_not_at_work_in_one_folder(tmp_path, first, then):
    said = rf"another compare is running in .* \(process {os.getpid()}{', with --share true' if first else ''}\); wait"
    one, other = (Store(tmp_path, shared=shared).locked() for shared in (first, then))
    with one, pytest.raises(UserError, match=said), other:
        pass
    with Store(tmp_path, shared=then).locked():
        pass


def test_those_that_share_are_at_work_together(tmp_path):
    with Store(tmp_path, shared=True).locked():
        with Store(tmp_path, shared=True).locked():
            pass
        with pytest.raises(UserError, match="another compare is running"), Store(tmp_path).locked():
            pass
    with Store(tmp_path).locked():
        assert (tmp_path / ".process").read_text() == str(os.getpid())


def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    one, _ = agendas(tmp_path, "--seeds=1")
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"cannot write .*\.lock: No locks available"):
        one.next()


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
