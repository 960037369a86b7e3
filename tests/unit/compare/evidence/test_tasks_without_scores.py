"""A task that the split has no label of is trained, compared by nothing, and said."""

from pathlib import Path

from mtl_lightning.compare.evidence.collect import collect
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import make_plan
from mtl_lightning.compare.report.plots.cosines import cosines
from mtl_lightning.compare.report.plots.looks import Material
from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.records import RESULT, write_result
from mtl_lightning.compare.running.store import Store
from mtl_lightning.compare.statistics import summarise

SCORES = {"left": {"accuracy": 0.5}, "right": {"accuracy": 0.25, "f1": 0.125}, "average": 0.375}


def test_it_is_left_out_and_said(tmp_path: Path) -> None:
    plan, store = make_plan(parse(["--single_task=false", "--weightings=equal,upgrad", "--seeds=2"])), Store(tmp_path)
    for number, run in enumerate(plan.all_runs()):
        meaning = {"main": "accuracy", "higher_is_better": {}}
        scores = SCORES if number else {**SCORES, "right": {"accuracy": 0.25}}  # the first run lacks a metric
        pairs = [["left", "right", 0.5, 0.0, 3], ["left", "sum", -0.5, 1.0, 3]]
        result = {"status": "finished", "message": "", "seconds": 1.0, "scores": scores, "costs": {}, "cosines": pairs}
        write_result(store.prepare(run) / RESULT, {**result, "metrics": dict.fromkeys(plan.tasks, meaning)})
    evidence = collect(plan, store, Agenda(plan, store), 1)
    assert evidence.unscored == ["sum"] and evidence.tasks == ["left", "right"]
    assert list(evidence.metrics["metric"]) == ["accuracy", "accuracy", "f1"]
    summary = summarise(evidence)
    assert "sum: no run has a score of it; is any example of the test split labelled for it?" in summary.notes
    _, caption = cosines(Material(evidence, summary))
    assert "the two tasks' gradients" in caption
