"""The experiment on the simulated feed: its floors, and who is compared."""

from pathlib import Path

import miniatures
import pytest
from real_data import ROOT

from experiments.data.recipes.feedlog import LABELS
from experiments.feedlog import floors as module
from experiments.feedlog.__main__ import PLAN, table
from experiments.feedlog.floors import Floors, floors
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import make_plan


def test_floors_of_a_log_of_others_know_no_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PENALTIES", (1.0,))
    miniatures.feedlog(tmp_path)
    found = floors(tmp_path / "log.tsv.gz")
    assert {*found.auc} == {*LABELS} and all(0 <= auc <= 1 for auc in found.auc.values())
    assert found.best_auc is None and found.best_conversion is None
    overall, clicked = found.conversion
    assert 0 < overall < 1 and 0 < clicked < 1 and overall != clicked
    assert found.weighted != found.conversion


def test_table_has_a_line_for_the_truth_where_it_is_known() -> None:
    auc = dict.fromkeys(LABELS, 0.7)
    assert table(Floors(auc, (0.15, 0.13), (0.16, 0.14), None, None)).count("\n") == 3
    found = table(Floors(auc, (0.15, 0.13), (0.16, 0.14), dict.fromkeys(LABELS, 0.8), (0.171, 0.131))).splitlines()
    assert found[-1] == "| the true probabilities | 0.800 | 0.800 | 0.800 | 0.800 | 0.171 | 0.131 |"


def test_plan_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    plan = make_plan(parse(["--plan", PLAN]))
    names = ["equal", "uncertainty", "upgrad", "famo", "shipped", "cross network", "own heads", "mmoe", "ple", "aitm"]
    assert [contestant.name for contestant in plan.contestants] == names
