"""The runs of a comparison on disk: what is kept, found again and recorded."""

import re
from pathlib import Path

import pytest
from test_compare_runs import finished, plan

from mtl_lightning.compare.running.records import RESULT, SPENT, write_result
from mtl_lightning.compare.running.store import FIT, LOCK, Store


@pytest.mark.parametrize(
    ("status", "kept"),
    [("finished", True), ("diverged", True), ("solver", True), ("failed", False), ("timeout", False)],
)
def test_what_a_run_would_come_to_again_is_kept(tmp_path, status, kept):
    made, store = plan("--weightings=equal", "--seeds=1"), Store(tmp_path)
    (run,) = made.all_runs()
    store.prepare(run)
    (store.path(run) / "rest").touch()
    write_result(store.path(run) / RESULT, finished(run) | {"status": status})
    assert store.is_done(run) is kept
    assert (store.prepare(run) / "rest").exists() is (status == "timeout")


def test_a_run_is_found_by_its_key_whatever_it_was_called(tmp_path):
    made, store = plan("--weightings=equal", "--seeds=1"), Store(tmp_path)
    (run,) = made.all_runs()
    folder = store.prepare(run)
    folder.rename(folder.with_name(f"before-{run.key}"))
    assert store.path(run).name == f"before-{run.key}"


def test_a_run_that_starts_anew_keeps_nothing_but_its_lock(tmp_path):
    made, store = plan("--weightings=equal", "--seeds=1"), Store(tmp_path)
    (run,) = made.all_runs()
    folder = store.prepare(run)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    store.fail(run, "failed", "", 1.0)
    lock = (folder / LOCK).stat().st_ino
    assert store.prepare(run) == folder
    assert {path.name for path in folder.iterdir()} == {FIT, LOCK} and (folder / LOCK).stat().st_ino == lock


def test_a_folder_is_looked_through_once_however_often_it_is_asked(tmp_path, monkeypatch):
    made, scans, scan = plan("--weightings=all", "--seeds=9"), [], Path.glob
    runs = made.all_runs()
    for run in runs:
        Store(tmp_path).prepare(run)
    monkeypatch.setattr(Path, "glob", lambda path, pattern: scans.append(path) or scan(path, pattern))
    store = Store(tmp_path)
    assert [store.result(run) for _ in range(3) for run in runs] == [None] * 3 * len(runs)
    assert len(scans) == 1


def test_what_is_final_is_read_once_and_what_is_not_is_looked_at_again(tmp_path):
    one, other = plan("--weightings=equal,upgrad", "--seeds=1").all_runs()
    store = Store(tmp_path)
    for run, status in ((one, "finished"), (other, "timeout")):
        write_result(store.prepare(run) / RESULT, finished(run) | {"status": status})
        assert store.result(run)["status"] == status
        write_result(store.path(run) / RESULT, finished(run) | {"status": "failed"})
    assert [store.result(run)["status"] for run in (one, other)] == ["finished", "failed"]


def test_what_ended_meanwhile_is_not_called_failed(tmp_path):
    (run,) = plan("--weightings=equal", "--seeds=1").all_runs()
    store = Store(tmp_path)
    write_result(store.prepare(run) / RESULT, finished(run))
    store.fail(run, "failed", "", 1.0)
    assert store.result(run) == finished(run)


def test_a_run_counts_the_time_before_it_was_stopped(tmp_path):
    (run,) = plan("--weightings=equal", "--seeds=1").all_runs()
    store = Store(tmp_path)
    (store.prepare(run) / SPENT).write_text("70.0")
    store.fail(run, "timeout", "", 30.0)
    assert store.result(run)["seconds"] == 70.0


@pytest.mark.parametrize("content", ['"1"', "-1", "NaN", "{", "[]", "1e999"])
def test_a_broken_time_of_before_is_said_and_stops_nobody_else(tmp_path, content):
    (run,) = plan("--weightings=equal", "--seeds=1").all_runs()
    store = Store(tmp_path)
    (store.prepare(run) / SPENT).write_text(content)
    store.fail(run, "failed", "it broke", 30.0)
    result = store.result(run)
    assert result["seconds"] == 30.0 and re.match(r"it broke; .*spent\.json is broken.*; remove it", result["message"])
