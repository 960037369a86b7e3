"""``compare --folds``: folds of a cross-validation are the replicates, in plan, statistics, report and results."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import Plan, make_plan
from mtl_lightning.compare.report.headline import headline
from mtl_lightning.compare.report.markdown import markdown
from mtl_lightning.compare.report.results import results
from mtl_lightning.compare.report.tables import details, overview
from mtl_lightning.compare.running.show import show_plan
from mtl_lightning.compare.running.store import Store
from mtl_lightning.compare.statistics import summarise
from mtl_lightning.compare.statistics.paired_test import paired_test
from mtl_lightning.data import FoldSplit
from mtl_lightning.errors import UserError
from mtl_lightning.intervals import t_interval
from tests.compare_specimen import evidence, summary

CONFIG = """\
name: folds
model:
  encoder: PerceptronEncoder
  tasks: {a: Regression, b: Regression}
  optimizer: {class_path: AdamW, init_args: {lr: 0.1}}
data:
  datasets:
    d: {class_path: FileSource, init_args: {files: d.csv, split: SPLIT, inputs: {features: f}, labels: {a: a}}}
    e: {class_path: FileSource, init_args: {files: {train: e.csv}, inputs: {features: f}, labels: {b: b}}}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "a.yaml"


def plan(config: Path, split: str, *arguments: str) -> Plan:
    config.write_text(CONFIG.replace("SPLIT", split))
    return make_plan(parse(["--config", str(config), "--weightings", "equal,upgrad", *arguments]))


def split_of(run: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = run.config["data"]["datasets"]["d"]["init_args"]["split"]["init_args"]
    return arguments


@pytest.mark.parametrize(
    "split", ["FoldSplit", "{class_path: mtl_lightning.data.FoldSplit, init_args: {val: 3, stratify: a, num_folds: 4}}"]
)
def test_each_fold_is_tested_once_by_each_contestant(config: Path, split: str) -> None:
    found = plan(config, split, "--folds", "4")
    assert found.num_runs() == 4 * 4
    for contestant in found.contestants:
        runs = found.runs(contestant)
        assert [run.seed for run in runs] == [run.config["seed_everything"] for run in runs] == [0, 1, 2, 3]
        assert [split_of(run)["test"] for run in runs] == [0, 1, 2, 3]
        assert [FoldSplit(**split_of(run)).val for run in runs] == [1, 2, 3, 0]
        assert len({run.key for run in runs}) == 4
        assert [run.name.split("-")[-2] for run in runs] == ["fold0", "fold1", "fold2", "fold3"]


def test_a_search_sees_one_fold(config: Path) -> None:
    found = plan(config, "FoldSplit", "--folds", "3", "--tune", "2")
    trial = found.trial(found.contestants[0], {"model.optimizer.lr": 0.2})
    assert split_of(trial) == {"num_folds": 3, "test": 0, "val": None}
    assert "-search-" in trial.name


def test_the_plan_says_so(config: Path, tmp_path: Path) -> None:
    console = Console(record=True, width=100)
    found = plan(config, "FoldSplit", "--folds", "3")
    show_plan(found, Store(tmp_path / "out"), tmp_path, console)
    line = "3 folds of d in place of seeds: each is the test split of one run, the next one its validation split"
    assert f"{line}; e keeps its splits" in console.export_text().replace("\n", " ")


@pytest.mark.parametrize(
    ("split", "arguments", "message"),
    [
        (
            "FractionSplit",
            ["--folds", "5"],
            "folds: no data set has folds; give one a single file, and `--data.datasets.d",
        ),
        (
            "FoldSplit",
            ["--folds", "5", "--seeds", "3"],
            "folds take the place of seeds: run i has seed i; leave `--seeds` out",
        ),
        ("FoldSplit", ["--folds", "2"], "folds: expected a whole number, at least 3, found '2'"),
        (
            "{class_path: FoldSplit, init_args: {num_folds: 5}}",
            ["--folds", "4"],
            "folds: 4, but data.datasets.d.split.num_folds is 5; leave one out",
        ),
    ],
)
def test_folds_that_cannot_be(config: Path, split: str, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        plan(config, split, *arguments)
    assert str(raised.value).startswith(message)


def test_a_config_with_folds_may_be_run_over_seeds(config: Path) -> None:
    run = plan(config, "FoldSplit", "--seeds", "2").all_runs()[1]
    assert (run.replicate, run.config["data"]["datasets"]["d"]["init_args"]["split"]) == ("seed", "FoldSplit")


# -- statistics --------------------------------------------------------------------------------------------------------
def test_overlap_widens_intervals_and_weakens_tests() -> None:
    values = np.random.default_rng(0).normal(size=(3, 5))
    plain, wide = t_interval(values), t_interval(values, overlap=1 / 3)
    assert (wide.high - wide.low) == pytest.approx((plain.high - plain.low) * np.sqrt((1 / 5 + 1 / 3) * 5))
    assert (wide.mean == plain.mean).all()
    zero = np.zeros_like(values)
    assert (paired_test(values, zero, 1 / 3).p > paired_test(values, zero).p).all()
    assert paired_test(values, zero, 1 / 3).effect == pytest.approx(paired_test(values, zero).effect)


@pytest.mark.parametrize("num_folds", [4, 5, 10])
def test_runs_that_correlate_as_folds_do_differ_by_chance_in_one_of_twenty(num_folds: int) -> None:
    """Nadeau and Bengio take runs to correlate by the test set's share of all examples that a run sees."""
    overlap = 1 / (num_folds - 2)
    correlation = overlap / (1 + overlap)
    random = np.random.default_rng(3)
    common, own = random.normal(size=(20_000, 1)), random.normal(size=(20_000, num_folds))
    differences = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
    found = paired_test(differences, np.zeros_like(differences), overlap)
    assert (found.p < 0.05).mean() == pytest.approx(0.05, abs=0.006)
    assert ((found.low > 0) | (found.high < 0)).mean() == pytest.approx(0.05, abs=0.006)
    assert (paired_test(differences, np.zeros_like(differences)).p < 0.05).mean() > 0.1


# -- report ------------------------------------------------------------------------------------------------------------
def folds(**options: Any) -> Evidence:
    return replace(evidence(**options), replicates="fold", overlap=0.5)


def test_the_report_speaks_of_folds() -> None:
    found = folds(seeds=4)
    said = summarise(found)
    assert [note for note in said.notes if "Runs are the folds of a cross-validation." in note and "1/n + 0.5" in note]
    assert [note for note in said.notes if "The search saw one fold's training and validation data" in note]
    text = markdown(found, said, [])
    assert "seed" not in text.replace("in place of seeds", "").lower()
    assert "4 folds: intervals are wide" in text
    assert "trials of a single run each" in text


def test_names_are_not_reworded() -> None:
    found = folds(contestants=["equal", "seed 5"], lost=("seed 5",))
    said = summary(found)
    assert "seed 5" in [row[0].text for row in overview(found, said).rows]
    assert [table for table in details(found, said) if any("fold" in column.title for column in table.columns)]
    assert not [line for line in headline(folds(seeds=1), summary(folds(seeds=1))) if "seed" in line]


def test_results_name_the_fold() -> None:
    table = results(folds(seeds=3))
    assert table.columns.get_loc("fold") == table.columns.get_loc("seed") - 1
    assert (table["fold"] == table["seed"])[table["role"] == "compare"].all()
    assert table.loc[table["role"] == "tune", "fold"].isna().all()
    assert "fold" not in results(evidence(seeds=3)).columns
