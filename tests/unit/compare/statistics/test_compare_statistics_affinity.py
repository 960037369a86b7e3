"""Affinities between tasks, groupings, costs and conflicts."""

from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from compare_statistics_data import evidence_of, run, table
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_lightning.compare.evidence import SINGLE_TASK, Evidence
from mtl_lightning.compare.statistics import summarise
from mtl_lightning.compare.statistics.affinity import MOST_TASKS, affinity, grouping
from mtl_lightning.compare.statistics.costs import conflicts, costs

NAN = float("nan")
METRICS = [("a", "accuracy", True), ("a", "loss", False), ("b", "error", False), ("c", "pearson", True)]
ALONE = [[0.8, 1.0, 0.2, -0.5], [0.4, 1.0, 0.0, 0.5]]


def evidence(**fields: Any) -> Evidence:
    values = np.array([[[0.7, 1, 0.3, 0.1]] * 2, ALONE])
    return evidence_of(values, METRICS, ["equal", SINGLE_TASK], **fields)


def square(values: list[list[float]] | np.ndarray, names: str = "abcdefghijkl") -> pd.DataFrame:
    tasks = list(names[: len(values)])
    return pd.DataFrame(values, index=tasks, columns=tasks)


class TestAffinity:
    def test_of_pairs_is_the_gain_over_the_single_task_of_the_same_seed(self) -> None:
        pairs = [
            ("a", "b", 0, "a", "accuracy", 0.88),  # + 10 %
            ("a", "b", 1, "a", "accuracy", 0.36),  # - 10 %
            ("a", "b", 0, "b", "error", 0.19),  # + 5 %
            ("a", "b", 1, "b", "error", 0.1),  # no gain relative to zero
            ("a", "b", 0, "a", "loss", 99.0),  # not its main metric
            ("b", "c", 0, "c", "pearson", -0.25),  # + 50 %
            ("b", "c", 1, "c", "pearson", 0.75),  # + 50 %
            ("b", "c", 0, "b", "error", NAN),
            ("b", "c", 9, "b", "error", 0.1),  # no single-task run of this seed
        ]
        matrix, source = affinity(evidence(pairs=table("pairs", pairs)))
        assert source == "pairs"
        assert list(matrix.index) == list(matrix.columns) == ["a", "b", "c"]
        expected = [[NAN, 0, NAN], [5, NAN, NAN], [NAN, 50, NAN]]
        np.testing.assert_allclose(matrix.to_numpy(), expected, atol=1e-12)

    def test_of_cosines_is_the_references_mean_over_seeds(self) -> None:
        rows = [
            ("equal", 0, "a", "b", 0.2, 0.1, 10),
            ("equal", 1, "a", "b", 0.4, 0.1, 10),
            ("equal", 0, "c", "b", -0.5, 0.9, 10),
            ("other", 0, "a", "b", -1.0, 1.0, 10),
        ]
        matrix, source = affinity(evidence(cosines=table("cosines", rows)))
        assert source == "cosines"
        np.testing.assert_allclose(matrix.to_numpy(), [[NAN, 0.3, NAN], [0.3, NAN, -0.5], [NAN, -0.5, NAN]])
        assert grouping(matrix) == [["a", "b"], ["c"]]

    def test_pairs_without_a_baseline_are_named_and_cosines_taken(self) -> None:
        values = np.ones((1, 2, 4))
        pairs = table("pairs", [("a", "b", 0, "a", "accuracy", 0.9)])
        cosines = table("cosines", [("equal", 0, "a", "b", 0.2, 0.1, 10)])
        found = summarise(evidence_of(values, METRICS, ["equal"], pairs=pairs, cosines=cosines))
        assert found.affinity_source == "cosines"
        assert any("pairs of tasks are not used" in note for note in found.notes)

    def test_of_nothing(self) -> None:
        found = summarise(evidence())
        assert found.affinity_source == "" and found.grouping == []
        assert found.affinity.shape == (3, 3) and found.affinity.isna().all(axis=None)


class TestGrouping:
    def test_tasks_that_hurt_each_other_or_gain_nothing_stay_apart(self) -> None:
        assert grouping(square([[NAN, -1.0], [0.5, NAN]])) == [["a"], ["b"]]
        assert grouping(square([[NAN, 0.0], [0.0, NAN]])) == [["a"], ["b"]]
        assert grouping(square([[NAN, 1.0], [-0.5, NAN]])) == [["a", "b"]]

    def test_unknown_affinities_join_nobody(self) -> None:
        assert grouping(square([[NAN, 9.0, NAN], [9.0, NAN, 8.0], [NAN, 8.0, NAN]])) == [["a", "b"], ["c"]]
        assert grouping(square([[NAN]])) == []

    @settings(max_examples=30, deadline=None)
    @given(st.integers(2, 5), st.integers(0, 1000))
    def test_no_other_grouping_is_worth_more(self, num: int, seed: int) -> None:
        values = np.random.default_rng(seed).normal(size=(num, num))
        found = grouping(square(values))
        assert sorted(task for group in found for task in group) == list(square(values).index)
        label = [next(k for k, group in enumerate(found) if task in group) for task in square(values).index]
        every = np.array(list(product(range(num), repeat=num)))
        assert worth(values, np.array([label])) == pytest.approx(worth(values, every).max())

    @pytest.mark.parametrize("sizes", [(3, 3), (2, 4, 3, 2)], ids=["exhaustive", "clustered"])
    def test_finds_planted_groups(self, sizes: tuple[int, ...]) -> None:
        label = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
        noise = np.random.default_rng(1).normal(scale=0.2, size=(len(label), len(label)))
        matrix = square(np.where(label[:, None] == label, 2.0, -2.0) + noise)
        assert (len(label) > MOST_TASKS) == (len(sizes) > 2)
        expected = [[matrix.index[task] for task in np.flatnonzero(label == k)] for k in range(len(sizes))]
        assert grouping(matrix) == sorted(expected)

    def test_many_tasks_with_unknown_affinities(self) -> None:
        values = np.full((9, 9), NAN)
        for first, second in pairwise(range(9)):
            values[first, second] = values[second, first] = -1.0
        values[0, 1] = values[1, 0] = 3.0
        assert grouping(square(values)) == [["a", "b"], *([task] for task in "cdefghi")]


def worth(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each row of labels: the sum over tasks of the mean affinity to the others of the same label."""
    together = (labels[:, :, None] == labels[:, None, :]) & ~np.eye(len(values), dtype=bool)
    return ((together * values).sum(axis=2) / np.maximum(together.sum(axis=2), 1)).sum(axis=1)


class TestCosts:
    def test_are_relative_to_the_reference(self) -> None:
        rows = [
            ("equal", 0, 0.1, 100.0, 1.0, 10, 0.0, 0),
            ("equal", 1, 0.3, 100.0, 1.0, 10, 0.0, 0),
            (SINGLE_TASK, 0, 0.2, NAN, 2.0, 20, 0.5, 3),
            (SINGLE_TASK, 1, 0.9, NAN, 2.0, 20, 0.5, 3),
        ]
        found = costs(evidence(costs=table("costs", rows))).set_index(["contestant", "measure"])
        assert found.loc[(SINGLE_TASK, "seconds_per_step"), ["mean", "relative"]].tolist() == pytest.approx([0.55, 2.5])
        assert found.loc[("equal", "seconds_per_step"), ["mean", "relative"]].tolist() == pytest.approx([0.2, 1.0])
        bounds = ["relative_low", "relative_high"]
        half = 12.7062 * 0.5  # Student's t of one degree times the standard error of the ratios 2 and 3
        assert found.loc[(SINGLE_TASK, "seconds_per_step"), bounds].tolist() == pytest.approx([2.5 - half, 2.5 + half])
        assert found.loc[("equal", "seconds_per_step"), bounds].tolist() == [1, 1]
        assert found.loc[("equal", "peak_memory"), ["low", "high"]].tolist() == [100, 100]
        assert found.loc[(SINGLE_TASK, "peak_memory")].isna().all()
        assert np.isnan(found.loc[(SINGLE_TASK, "solver_seconds"), "relative"])  # the reference has no solver

    def test_conflicts_weigh_steps_alike_and_count_runs(self) -> None:
        cosines = [
            ("equal", 0, "a", "b", 0.5, 0.0, 30),
            ("equal", 0, "a", "c", -0.5, 1.0, 10),
            ("equal", 1, "a", "b", NAN, NAN, 50),
        ]
        spent = [("equal", 0, 0.1, 1.0, 1.0, 10, 0.0, 2), ("equal", 1, 0.1, 1.0, 1.0, 10, 0.0, 3)]
        runs = [
            run("equal", 0, "diverged"),
            run("equal", 1, "diverged"),
            run("equal", 2, "timeout"),
            run("equal", 0, "failed", role="tune"),
            run(SINGLE_TASK, 0, "solver"),
        ]
        given = {"cosines": table("cosines", cosines), "costs": table("costs", spent), "runs": table("runs", runs)}
        found = conflicts(evidence(**given)).set_index("contestant")
        assert found.loc["equal"].tolist() == [0.25, 0.25, 5, 2, 0, 0, 1]
        assert found.loc[SINGLE_TASK, ["cosine", "conflicting", "skipped_steps"]].isna().all()
        assert found.loc[SINGLE_TASK, "solver"] == 1

    def test_a_contestant_without_runs_has_no_broken_ones(self) -> None:
        found = conflicts(evidence(runs=table("runs", [run("equal", 0, "failed")]))).set_index("contestant")
        assert found["failed"].tolist() == [1, 0] and found["timeout"].tolist() == [0, 0]
