"""Reads what the runs left behind into the tables that statistics and report are made from."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mtl_lightning.compare.evidence import MEASURES, Evidence
from mtl_lightning.compare.evidence.curves import curves
from mtl_lightning.compare.planning.folds import plan_line
from mtl_lightning.compare.planning.plan import Plan, Run
from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.records import RESULT
from mtl_lightning.compare.running.store import Store
from mtl_lightning.errors import UserError
from mtl_lightning.version import __version__

Found = tuple[Run, Path, dict[str, Any]]
"""A run, its folder and its result."""


def collect(plan: Plan, store: Store, agenda: Agenda, workers: int) -> Evidence:
    """Reads the runs of a comparison, as many as have ended.

    Args:
        plan: Of the comparison.
        store: Its runs.
        agenda: Knows what the searches chose.
        workers: How many runs were done at a time.
    """
    reported = [run for runs in agenda.runs.values() for run in runs]
    found = [(run, store.path(run), store.result(run) or {}) for run in reported]
    finished = [item for item in found if item[2].get("status") == "finished"]
    compared = [point for item in finished if item[0].role == "compare" for point in _points(*item)]
    metrics = _table(_metrics(plan, finished), "task metric higher_is_better main")
    return Evidence(
        name=plan.name,
        split=plan.settings.split,
        contestants=plan.names,
        reference=plan.reference,
        seeds=list(plan.settings.seeds),
        metrics=metrics,
        scores=_table(_scores(compared), "contestant seed task metric value"),
        pairs=_table(_pairs(finished), "first second seed task metric value"),
        curves=curves([(run.contestant.name, run.seed, folder) for run, folder, _ in compared]),
        costs=_costs(compared),
        cosines=_table(_cosines(compared), "contestant seed first second cosine conflicting steps"),
        gates=_table(_rows(compared, "gates"), "contestant seed level task expert share"),
        similarity=_table(_rows(compared, "similarity"), "contestant seed first second cosine"),
        grids=_table(_grids(compared), "contestant seed task path"),
        fronts=plan.fronts,
        one_model=[contestant.front for contestant in plan.contestants if contestant.asked],
        runs=_table(_runs(agenda, store), "contestant seed role status message folder seconds"),
        trials=_table(_trials(agenda), "contestant number value settings status"),
        chosen=agenda.chosen(),
        facts=_facts(plan, finished, workers),
        unscored=[task for task in plan.tasks if task not in set(metrics["task"])],
        delta_m=plan.settings.delta_m,
        replicates=plan.replicate,
        overlap=0.0 if plan.settings.folds is None else 1 / (plan.settings.folds - 2),
    )


def _points(run: Run, folder: Path, result: dict[str, Any]) -> Iterator[Found]:
    """A run, or its points, each as if it were a run: of one model that was asked for several preferences.

    Raises:
        UserError: If it was not asked for all of them.
    """
    asked = run.contestant.asked
    found = [(one["preference"], one["scores"]) for one in result.get("by_preference", ())]
    for name, preference in asked.items():
        scores = next((scores for there, scores in found if there == preference), None)
        if scores is None:
            raise UserError(f"{folder / RESULT} has no scores for {name}; remove it, and the run is repeated")
        yield replace(run, contestant=replace(run.contestant, name=name)), folder, {**result, "scores": scores}
    if not asked:
        yield run, folder, result


def _table(rows: Iterator[Sequence[Any]], columns: str) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns.split())


def _metrics(plan: Plan, found: Sequence[Found]) -> Iterator[Sequence[Any]]:
    """The metrics that any run has of each task; what they mean, the first of these runs says."""
    for task in plan.tasks:
        results = [result for _, _, result in found if task in result["metrics"] and task in result["scores"]]
        for metric in dict.fromkeys(metric for result in results for metric in result["scores"][task]):
            meaning = results[0]["metrics"][task]
            yield task, metric, meaning["higher_is_better"].get(metric, True), metric == meaning["main"]


def _scores(found: Sequence[Found]) -> Iterator[Sequence[Any]]:
    for run, _, result in found:
        for task, metrics in _of_tasks(result):
            for metric, value in metrics.items():
                yield run.contestant.name, run.seed, task, metric, _number(value)


def _pairs(found: Sequence[Found]) -> Iterator[Sequence[Any]]:
    for run, _, result in found:
        if run.role == "pair":
            for task, metrics in _of_tasks(result):
                for metric, value in metrics.items():
                    yield *run.contestant.tasks, run.seed, task, metric, _number(value)


def _of_tasks(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float]]]:
    return ((name, result["scores"][name]) for name in result["metrics"] if name in result["scores"])


def _costs(found: Sequence[Found]) -> pd.DataFrame:
    rows = [
        {"contestant": run.contestant.name, "seed": run.seed, **{name: result["costs"].get(name) for name in MEASURES}}
        for run, _, result in found
    ]
    costs = pd.DataFrame(rows, columns=["contestant", "seed", *MEASURES])
    costs[list(MEASURES)] = costs[list(MEASURES)].astype(float)
    together = {name: "max" if name == "peak_memory" else _sum for name in MEASURES}
    return costs.groupby(["contestant", "seed"], sort=False).agg(together).reset_index()


def _sum(values: "pd.Series[float]") -> float:
    return float(values.sum(min_count=len(values)))


def _cosines(found: Sequence[Found]) -> Iterator[Sequence[Any]]:
    for run, _, result in found:
        for first, second, *seen in result["cosines"]:
            yield run.contestant.name, run.seed, first, second, *seen


def _rows(found: Sequence[Found], part: str) -> Iterator[Sequence[Any]]:
    for run, _, result in found:
        for row in result.get(part, ()):  # runs of before have none
            yield run.contestant.name, run.seed, *row


def _grids(found: Sequence[Found]) -> Iterator[Sequence[Any]]:
    """The newest grid of each task, which PixelGrids names by its step."""
    for run, folder, result in found:
        for task in result["metrics"]:
            files = [file for file in (folder / "grids" / task).glob("*.png") if file.stem.isdigit()]
            if files:
                yield run.contestant.name, run.seed, task, str(max(files, key=lambda file: int(file.stem)))


def _runs(agenda: Agenda, store: Store) -> Iterator[Sequence[Any]]:
    for run in agenda.known():
        result = store.result(run) or {"status": "missing", "message": "not yet run"}
        name = run.contestant.label if run.contestant.role == "pair" else run.contestant.name
        folder = os.path.relpath(store.path(run), store.folder.parent)
        for shown in run.contestant.shown if run.role == "compare" else [name]:
            yield shown, run.seed, run.role, result["status"], result["message"], folder, result.get("seconds")


def _trials(agenda: Agenda) -> Iterator[Sequence[Any]]:
    for label, search in agenda.searches.items():
        for number, trial in enumerate(search.trials):
            yield label, number, _number(trial["value"]), trial["settings"], trial["status"]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _facts(plan: Plan, found: Sequence[Found], workers: int) -> dict[str, str]:
    settings = plan.settings
    some = found[0][2] if found else {}
    changes = " ".join(settings.flags)
    searched = (
        f"{settings.tune} trials for each contestant, seed of its own, by val/average" if settings.tune else "none"
    )
    return {
        "config": ", ".join(settings.config) or "the demo",
        **({"options": changes} if changes else {}),
        "seeds": ", ".join(map(str, settings.seeds)),
        **({} if settings.folds is None else {"folds": plan_line(plan.base, settings.folds)}),
        "scored on": f"{settings.split} split, the checkpoint that is best on validation",
        "search": searched,
        "runs at a time": f"{workers or 'as many as SLURM starts'}, {settings.threads} thread(s) each",
        "device": str(some.get("device", "")),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": f"mtl_lightning {__version__}, torch {some.get('torch', '?')}, Python {platform.python_version()}",
        "model": json.dumps(plan.base["model"].get("encoder"), ensure_ascii=False),
    }
