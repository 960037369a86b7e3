"""The live table takes little from the runs, and is right."""

from io import StringIO

import pytest
from rich.console import Console

from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import make_plan
from mtl_lightning.compare.running import progress
from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.store import Store


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.fixture
def begun(tmp_path):
    plan, store = make_plan(parse(["--single_task=false", "--weightings=equal,upgrad", "--seeds=2"])), Store(tmp_path)
    run = plan.all_runs()[0]
    store.prepare(run)
    store.fail(run, "diverged", "not finite", 3.0)
    return plan, store, Agenda(plan, store)


def test_the_table_is_drawn_anew_every_two_seconds_at_most(begun, monkeypatch):
    plan, store, agenda = begun
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = progress.Progress(plan, store, Console(file=Terminal(), force_terminal=True))
    drawn = []
    monkeypatch.setattr(shown, "_table", lambda *arguments: drawn.append(now[0]) or "")
    for _ in range(20):
        shown.show(agenda, [])
        now[0] += 0.5
    assert drawn == [100.0, 102.0, 104.0, 106.0, 108.0]


def test_the_table_counts_what_is_done(begun):
    plan, store, agenda = begun
    shown = progress.Progress(plan, store, Console(file=Terminal(), force_terminal=True))
    table = shown._table(agenda, [plan.all_runs()[1]])
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells["runs"] == ["1/2", "0/2"] and cells["went wrong"] == ["1", ""] and cells["under way"] == ["1", ""]
    assert "1 of 4 runs" in table.title


def test_colour_that_is_asked_for_makes_no_live_table_in_a_file(begun, monkeypatch):
    plan, store, agenda = begun
    monkeypatch.setenv("FORCE_COLOR", "1")  # as notebooks and continuous integration do
    printed = StringIO()
    with progress.Progress(plan, store, Console(file=printed, highlight=False)) as shown:
        shown.show(agenda, [])
        shown.tell(plan.all_runs()[0], {"status": "finished", "seconds": 3.0, "scores": {"average": 0.5}})
    assert printed.getvalue().endswith(": finished after 3 s: average 0.5000\n")
    assert printed.getvalue().count("\n") == 1


def test_what_all_runs_lack_is_said_once(begun):
    plan, printed = begun[0], StringIO()
    shown = progress.Progress(plan, begun[1], Console(file=printed, highlight=False))
    first, second, third, _ = plan.all_runs()
    for run, message in ((first, "no split 'val'"), (second, "no split 'val'"), (third, "disk full")):
        shown.tell(run, {"status": "failed", "seconds": 1.0, "message": message})
    assert printed.getvalue().splitlines() == [
        f"{first.name}: failed after 1 s: no split 'val'",
        f"{second.name}: failed after 1 s: the same as {first.name}",
        f"{third.name}: failed after 1 s: disk full",
    ]
