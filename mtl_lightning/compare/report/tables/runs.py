"""What the runs did: the search for settings, and the runs that did not finish."""

import json
from typing import Any

from mtl_lightning.compare.evidence import UNFINISHED, Evidence
from mtl_lightning.compare.report.numbers import MISSING, number, places
from mtl_lightning.compare.report.tables.table import Cell, Column, Table


def settings(values: dict[str, Any]) -> str:
    """Settings in one line.

    >>> settings({"lr": 0.001, "name": "a"})
    'lr = 0.001, name = "a"'
    """
    return ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False, default=str)}" for key, value in values.items())


def search(evidence: Evidence) -> Table:
    """What each contestant's search on validation tried and chose."""
    columns = [
        Column("contestant", "What was compared.", numeric=False),
        Column("trials", "Settings that were tried; the same budget for all.", True, True),
        Column("broken", "Trials that did not finish.", True, True),
        Column("best on validation", "Score of the chosen settings on the validation split.", True, True),
        Column("chosen settings", "What the search chose; the compared runs use it.", numeric=False),
    ]
    digits = places([], evidence.trials["value"])
    rows = []
    for name in dict.fromkeys([*evidence.trials["contestant"], *evidence.chosen]):  # single tasks search one by one
        trials = evidence.trials[evidence.trials["contestant"] == name]
        broken, best = int((trials["status"] != "finished").sum()), float(trials["value"].max())
        chosen = settings(evidence.chosen.get(name, {})) or MISSING
        counts = [Cell(str(count), float(count)) for count in (len(trials), broken)]
        rows.append([Cell(name, name), *counts, Cell(number(best, digits), best), Cell(chosen, chosen)])
    return Table("search", "Search on validation", columns, rows)


def failures(evidence: Evidence) -> Table:
    """Every run that did not finish, with its message and the folder of its log."""
    columns = [
        Column("contestant", "What was compared.", numeric=False),
        Column("seed", "Of the run."),
        Column("role", "compare: counts here; tune: a trial of the search; pair: two tasks alone.", numeric=False),
        Column("status", "diverged, failed, solver, timeout or missing.", numeric=False),
        Column("message", "Its last message.", numeric=False),
        Column("log", "Folder with the run's config and log.", numeric=False),
    ]
    broken = evidence.runs[evidence.runs["status"].isin(UNFINISHED)]
    rows = [
        [
            Cell(run.contestant, run.contestant),
            Cell(str(run.seed), float(run.seed)),
            *(Cell(str(text or MISSING), str(text)) for text in (run.role, run.status, run.message, run.folder)),
        ]
        for run in broken.itertuples()
    ]
    return Table("failures", "Runs that did not finish", columns, rows)
