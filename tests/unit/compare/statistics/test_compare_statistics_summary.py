"""The summary as a whole: what is missing, what is left out, and that order does not matter."""

import dataclasses
import subprocess
import sys
from cProfile import Profile
from pstats import Stats

import numpy as np
import pandas as pd
import pytest
from compare_statistics_data import EVIDENCE, METRICS, NAMES, drawn, evidence_of, only, table, without

from mtl_lightning.compare.evidence import SINGLE_TASK, Evidence
from mtl_lightning.compare.statistics import summarise
from mtl_lightning.compare.statistics.summary import Summary
from mtl_lightning.errors import UserError

COLUMNS = {
    "scores": "contestant task metric mean low high num_seeds",
    "deltas": "contestant seed convention value",
    "delta_m": "contestant convention mean low high num_seeds",
    "ranks": "contestant mean_rank low high num_seeds rank_of_means",
    "tests": "family first second task metric difference low high p p_corrected effect effect_low effect_high "
    "num_seeds verdict",
    "improvement": "first second probability low high",
    "costs": "contestant measure mean low high relative relative_low relative_high",
    "conflicts": "contestant cosine conflicting skipped_steps diverged failed solver timeout",
}


@pytest.mark.parametrize("evidence", EVIDENCE.values(), ids=EVIDENCE)
class TestAnyEvidence:
    def test_has_the_columns_and_a_row_for_each_contestant(self, evidence: Evidence) -> None:
        found = summarise(evidence)
        for name, columns in COLUMNS.items():
            assert list(getattr(found, name).columns) == columns.split(), name
        names, num = evidence.contestants, len(evidence.metrics)
        assert found.scores["contestant"].tolist() == [name for name in names for _ in range(num)]
        assert found.conflicts["contestant"].tolist() == names
        against = len(set(names) - {evidence.reference}) if evidence.reference in names else 0
        assert found.tests.value_counts("family").to_dict() == {
            family: count
            for family, count in {
                "reference": against,
                "pairs": len(names) * (len(names) - 1) // 2,
                "tasks": against * len(evidence.tasks),
            }.items()
            if count
        }
        assert set(found.pool) <= set(names) - {SINGLE_TASK}
        assert found.ranks["contestant"].tolist() == found.pool
        assert all(isinstance(note, str) and note.endswith(".") for note in found.notes)

    def test_keeps_to_what_it_promises(self, evidence: Evidence) -> None:
        found = summarise(evidence)
        tests = found.tests
        assert ((tests["num_seeds"] < 3) == (tests["verdict"] == "too few seeds")).all()
        assert (tests["p_corrected"].dropna() >= tests["p"].dropna()).all()
        for frame in (found.scores, found.delta_m, found.ranks):
            known = frame.dropna(subset=["low", "high"])
            assert (known["low"] <= known["mean" if "mean" in known else "mean_rank"]).all()
            assert (frame["low"].isna() == (frame["num_seeds"] < 2)).all()
        assert found.improvement["probability"].between(0, 1).all()
        assert all(len(group) > 1 and set(group) <= set(found.pool) for group in found.groups)


def busy() -> Evidence:
    """Evidence with something in every table."""
    names, random = EVIDENCE["full"].contestants, np.random.default_rng(0)
    tasks, seeds = ["intent", "slots", "domain"], range(5)
    couples = [("intent", "slots"), ("slots", "domain"), ("intent", "domain")]
    cosines = [(n, s, a, b, random.normal(), random.uniform(), 7 + s) for n in names for s in seeds for a, b in couples]
    spent = [(n, s, *random.uniform(1, 2, size=5), s) for n in names for s in seeds]
    main = dict(zip(tasks, ["accuracy", "error", "loss"], strict=True))
    pairs = [(a, b, s, t, main[t], random.uniform()) for s in seeds for a, b in couples for t in (a, b)]
    tables = {"cosines": table("cosines", cosines), "costs": table("costs", spent), "pairs": table("pairs", pairs)}
    return evidence_of(without((1, 2)), METRICS, names, **tables)


def shuffled(evidence: Evidence, order: list[int]) -> Evidence:
    frames = {
        name: frame.sample(frac=1, random_state=3) if name != "metrics" else frame
        for name, frame in vars(evidence).items()
        if isinstance(frame, pd.DataFrame)
    }
    contestants = [evidence.contestants[position] for position in order]
    return dataclasses.replace(evidence, contestants=contestants, seeds=evidence.seeds[::-1], **frames)


def by_key(summary: Summary, name: str) -> pd.DataFrame:
    frame = getattr(summary, name)
    keys = [
        key
        for key in ("family", "contestant", "first", "second", "seed", "task", "metric", "convention", "measure")
        if key in frame
    ]
    return frame.sort_values(keys, ignore_index=True)


@pytest.mark.parametrize("kind", ["pairs", "cosines"])
def test_the_order_of_rows_and_seeds_changes_no_bit(kind: str) -> None:
    evidence = busy() if kind == "pairs" else dataclasses.replace(busy(), pairs=table("pairs"))
    one, other = summarise(evidence), summarise(shuffled(evidence, [0, 1, 2, 3]))
    for name, value in vars(one).items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, getattr(other, name), check_exact=True)
        else:
            assert value == getattr(other, name), name


def test_the_order_of_contestants_changes_no_figure() -> None:
    evidence = busy()
    one, other = summarise(evidence), summarise(shuffled(evidence, [3, 2, 0, 1]))
    for name in ("scores", "deltas", "delta_m", "ranks", "costs", "conflicts"):
        pd.testing.assert_frame_equal(by_key(one, name), by_key(other, name), check_exact=True)
    assert one.groups == other.groups and one.friedman_p == pytest.approx(other.friedman_p)
    against = "family != 'pairs'"
    left, right = by_key(one, "tests").query(against), by_key(other, "tests").query(against)
    pd.testing.assert_frame_equal(left, right, check_exact=True)
    flipped = {
        frozenset(row[:2]): abs(row[2])
        for row in one.improvement[["first", "second", "probability"]]
        .assign(probability=lambda frame: frame["probability"] - 0.5)
        .to_numpy()
    }
    for first, second, probability in other.improvement[["first", "second", "probability"]].to_numpy():
        assert abs(probability - 0.5) == pytest.approx(flipped[frozenset((first, second))])


def test_a_score_that_stands_twice_is_refused() -> None:
    evidence = only(NAMES)
    evidence.scores = pd.concat([evidence.scores, evidence.scores.iloc[[5]]])
    with pytest.raises(
        UserError, match="the score of contestant equal, seed 1, task intent, metric loss is there twice"
    ):
        summarise(evidence)


def test_the_evidence_is_left_as_it_was() -> None:
    evidence, kept = busy(), busy()
    summarise(evidence)
    for name, value in vars(kept).items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(getattr(evidence, name), value)


def test_thirty_contestants_of_ten_tasks_are_no_great_work() -> None:
    """150,000 calls of functions, a fifth of a second; a loop over what pandas does at once would take millions."""
    names = [*(f"m{i}" for i in range(29)), SINGLE_TASK]
    metrics = [(f"t{i // 2}", ("f1", "loss")[i % 2], i % 2 == 0) for i in range(20)]
    evidence = evidence_of(drawn(30, 10, 20), metrics, names)
    profile = Profile()
    found = profile.runcall(summarise, evidence)
    assert Stats(profile).total_calls < 500_000  # type: ignore[attr-defined]
    assert len(found.tests) == 29 + 435 + 290 and len(found.improvement) == 435


def test_importing_needs_no_torch() -> None:
    code = (
        "import sys, mtl_lightning.compare.statistics; print({'torch', 'lightning', 'transformers'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"
