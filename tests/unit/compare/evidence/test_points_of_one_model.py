"""One model that is asked for each preference: a run a seed, a point of its front for each answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from mtl_lightning.compare.evidence.collect import collect
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import Plan, make_plan
from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.records import RESULT, write_result
from mtl_lightning.compare.running.run import execute as executing
from mtl_lightning.compare.running.store import Store
from mtl_lightning.compare.statistics import summarise
from mtl_lightning.errors import UserError

POINTS = ["cosmos 0.25:0.75", "cosmos 0.5:0.5", "cosmos 0.75:0.25"]


def made() -> Plan:
    options = ["--weightings=cosmos", "--front=3", "--seeds=2", "--single_task=false"]
    return make_plan(parse([*options, "--model.tasks.sum=null", "--data.tasks=[left, right]"]))


def result_of(left: float) -> dict[str, Any]:
    scores = {"left": {"accuracy": left}, "right": {"accuracy": 1 - left}, "average": 0.5}
    metrics = {task: {"main": "accuracy", "higher_is_better": {"accuracy": True}} for task in ("left", "right")}
    rest = {"costs": {"steps": 7}, "cosines": [], "metrics": metrics}
    return {"status": "finished", "message": "", "seconds": 1.0, "scores": scores, **rest}


def answered(config: dict[str, Any]) -> dict[str, Any]:
    asked = [{"preference": each, "scores": result_of(each["left"])["scores"]} for each in config["preferences"]]
    return {**result_of(0.5), "by_preference": asked}


def test_each_answer_is_a_point_of_its_front(tmp_path: Path) -> None:
    plan, store = made(), Store(tmp_path)
    for run in plan.all_runs():
        of_one = bool(run.contestant.asked)
        result = answered(run.config) if of_one else result_of(float(run.contestant.name[6:].split(":")[0]))
        if of_one and run.seed == 1:
            result = {"status": "failed", "message": "the disk is full", "seconds": 1.0}
        write_result(store.prepare(run) / RESULT, result)
    evidence = collect(plan, store, Agenda(plan, store), 1)
    assert evidence.contestants[-3:] == POINTS == evidence.fronts["cosmos"]
    scores = evidence.scores.query("contestant in @POINTS and task == 'left'")
    assert list(scores["value"]) == [0.25, 0.5, 0.75] and set(scores["seed"]) == {0}
    assert set(evidence.costs.query("contestant in @POINTS")["steps"]) == {7}
    lost = evidence.runs.query("status == 'failed'")
    assert list(lost["contestant"]) == POINTS and lost["folder"].nunique() == 1
    summary = summarise(evidence)
    volumes = summary.fronts[summary.fronts["measure"] == "hypervolume"].set_index("front")
    assert volumes.loc["cosmos", "mean"] == pytest.approx(volumes.loc["fixed", "mean"])
    assert (volumes.loc["cosmos", "num_seeds"], volumes.loc["fixed", "num_seeds"]) == (1, 2)
    assert any(
        note.startswith("cosmos is one model a seed that is asked for each preference") for note in summary.notes
    )


@pytest.mark.parametrize(("average", "status"), [(0.5, "finished"), (None, "failed")])
def test_a_run_keeps_what_it_was_asked_beside_its_scores(
    average: float | None, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [{"preference": {"left": 1.0}, "scores": {"average": average}}]
    scores = {**({"left": {"accuracy": 0.5}} if average else {}), "average": average}
    (tmp_path / executing.SCORES).write_text(json.dumps({**scores, "by_preference": asked}))
    monkeypatch.setattr(executing, "_fit", lambda *arguments: 0)
    outcome = executing._outcome(tmp_path, 1)
    assert outcome["status"] == status
    assert status == "failed" or (outcome["scores"], outcome["by_preference"]) == (scores, asked)


def test_an_answer_that_is_missing_is_said(tmp_path: Path) -> None:
    plan, store = made(), Store(tmp_path)
    run = plan.runs(plan.contestants[-1])[0]
    result = answered(run.config)
    write_result(store.prepare(run) / RESULT, {**result, "by_preference": result["by_preference"][:2]})
    with pytest.raises(UserError, match=r"result\.json has no scores for cosmos 0\.75:0\.25; remove it, and the run"):
        collect(plan, store, Agenda(plan, store), 1)
