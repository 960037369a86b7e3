"""Ranks, critical differences and probabilities of improvement: against scipy, tables and closed forms."""

from itertools import pairwise

import numpy as np
import pytest
from compare_statistics_data import evidence_of, run, table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mtl_lightning.compare.evidence import SINGLE_TASK
from mtl_lightning.compare.statistics import summarise
from mtl_lightning.compare.statistics.critical_difference import critical_difference, friedman_p, joined
from mtl_lightning.compare.statistics.improvement import improvement
from mtl_lightning.compare.statistics.overall import Overall
from mtl_lightning.compare.statistics.ranks import mean_rank, rank
from mtl_lightning.compare.statistics.score_table import score_table

METRICS = [("intent", "accuracy", True), ("intent", "loss", False), ("slots", "error", False)]
NAN = float("nan")


def overall(values: list[list[float]], lost: list[list[bool]] | None = None) -> Overall:
    scores = np.array(values)
    return Overall("score", scores, np.array(lost) if lost else np.zeros(scores.shape, dtype=bool))


class TestRanks:
    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 1000))
    def test_mean_rank_is_that_of_scipy(self, num: int, num_metrics: int, seed: int) -> None:
        scores = np.random.default_rng(seed).integers(0, 4, size=(num, num_metrics)).astype(float)
        found = mean_rank(scores)
        expected = np.mean([stats.rankdata(-scores[:, m]) for m in range(num_metrics)], axis=0)
        assert found == pytest.approx(expected)
        assert found.sum() == pytest.approx(num * (num + 1) / 2)

    def test_what_is_not_a_number_ranks_last(self) -> None:
        assert mean_rank(np.array([[NAN], [3.0], [NAN], [-9.0]])).tolist() == [3.5, 1.0, 3.5, 2.0]

    def test_by_hand(self) -> None:
        # Accuracy is better when higher, error when lower; loss does not count; single task is not ranked.
        values = np.array([[[0.9, 0, 0.1], [0.9, 0, 0.3]], [[0.8, 9, 0.2], [0.8, 9, 0.2]], [[1.0, 0, 0], [1.0, 0, 0]]])
        found = summarise(evidence_of(values, METRICS, ["equal", "upgrad", SINGLE_TASK])).ranks
        assert found["contestant"].tolist() == ["equal", "upgrad"]
        assert found["mean_rank"].tolist() == [1.25, 1.75]
        assert found["rank_of_means"].tolist() == [1.25, 1.75]  # errors tie on average: 0.2

    def test_ranks_of_means_and_mean_ranks_differ(self) -> None:
        values = np.array([[[0.9], [0.9], [0.1]], [[0.8], [0.8], [0.8]]])
        found = summarise(evidence_of(values, [("intent", "accuracy", True)], ["bold", "steady"])).ranks
        assert found["mean_rank"].round(3).tolist() == [1.333, 1.667]
        assert found["rank_of_means"].tolist() == [2, 1]

    def test_a_broken_run_ranks_last_and_a_missing_one_takes_its_seed_out(self) -> None:
        values = np.random.default_rng(0).uniform(0.5, 0.9, size=(3, 4, 3))
        values[0, :, [0, 2]] = [[0.99], [0.01]]  # the best
        values[0, 1] = values[1, 3] = NAN
        evidence = evidence_of(values, METRICS, ["best", "b", "c"])
        evidence.runs.loc[(evidence.runs["contestant"] == "best") & (evidence.runs["seed"] == 1), "status"] = "diverged"
        found = rank(score_table(evidence))
        assert found.by_seed[0, :3].tolist() == [1, 3, 1]
        assert np.isnan(found.by_seed).tolist() == [[False, False, False, True]] * 3

    def test_who_was_never_run_is_not_in_the_pool_and_who_always_broke_is_last(self) -> None:
        values = np.full((3, 2, 3), NAN)
        values[0] = [[0.9, 0.1, 0.1], [0.8, 0.1, 0.1]]
        runs = table(
            "runs", [run("a", 0, "finished"), run("a", 1, "finished"), run("b", 0, "failed"), run("b", 1, "timeout")]
        )
        found = summarise(evidence_of(values, METRICS, ["a", "b", "c"], runs=runs))
        assert found.pool == ["a", "b"]
        assert found.ranks["mean_rank"].tolist() == [1, 2]


class TestCriticalDifference:
    # Demšar 2006, table 5a: q(0.05) for 2 to 10 classifiers.
    @pytest.mark.parametrize(
        ("num", "q"), list(enumerate([1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164], start=2))
    )
    def test_is_demsars(self, num: int, q: float) -> None:
        assert critical_difference(num, 6) == pytest.approx(q * (num * (num + 1) / 36) ** 0.5, abs=1e-3 * num)

    @pytest.mark.parametrize(("num", "num_seeds"), [(1, 5), (0, 0), (5, 1), (5, 0)])
    def test_needs_two_contestants_and_seeds(self, num: int, num_seeds: int) -> None:
        assert np.isnan(critical_difference(num, num_seeds))
        assert np.isnan(friedman_p(np.ones((num, num_seeds))))

    def test_friedman_is_its_closed_form(self) -> None:
        random, (k, n) = np.random.default_rng(0), (5, 7)
        ranks = np.array([random.permutation(k) + 1.0 for _ in range(n)]).T
        statistic = 12 / (n * k * (k + 1)) * (ranks.sum(axis=1) ** 2).sum() - 3 * n * (k + 1)
        assert friedman_p(ranks) == pytest.approx(stats.chi2.sf(statistic, k - 1))
        assert friedman_p(np.full((k, n), 3.0)) == 1.0

    @pytest.mark.parametrize("num_metrics", [1, 4])
    def test_errs_at_most_as_often_as_it_says(self, num_metrics: int) -> None:
        metrics = np.random.default_rng(5).normal(size=(1000, 6, 5, num_metrics))  # of 6 contestants with 5 seeds
        ranks = stats.rankdata(metrics, axis=1).mean(axis=3)
        means = ranks.mean(axis=2)
        assert (np.ptp(means, axis=1) > critical_difference(6, 5)).mean() <= 0.05
        assert np.mean([friedman_p(one) < 0.05 for one in ranks[:300]]) <= 0.05

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.integers(2, 14), min_size=1, max_size=7), st.integers(0, 8))
    def test_bars_are_the_maximal_sets_within_the_difference(self, doubled: list[int], width: int) -> None:
        names = [f"m{i}" for i in range(len(doubled))]
        ranks, difference = np.array(doubled) / 2, width / 2
        at = dict(zip(names, ranks, strict=True))
        windows = {
            frozenset(name for name in names if low <= at[name] <= low + difference) for low in ranks
        }  # every largest set within the difference starts at one of the ranks
        maximal = {window for window in windows if len(window) > 1 and not any(window < other for other in windows)}
        found = joined(names, ranks, difference)
        assert {frozenset(bar) for bar in found} == maximal and len(found) == len(maximal)
        for bar in found:
            assert all(at[a] <= at[b] for a, b in pairwise(bar))

    def test_of_a_clear_ranking(self) -> None:
        values = np.arange(24.0).reshape(3, 8, 1) + np.arange(8)[None, :, None]
        found = summarise(evidence_of(values, [("intent", "accuracy", True)], ["c", "b", "a"]))
        assert found.ranks["mean_rank"].tolist() == [3, 2, 1]
        assert found.groups == [["a", "b"], ["b", "c"]]
        assert found.friedman_p == pytest.approx(stats.chi2.sf(16, 2))


class TestImprovement:
    def test_is_mann_whitneys_u(self) -> None:
        random = np.random.default_rng(0)
        first, second = random.integers(0, 8, size=(2, 10)).astype(float)
        found = improvement(["a", "b"], overall([first.tolist(), second.tolist()])).iloc[0]
        assert found["probability"] == pytest.approx(stats.mannwhitneyu(first, second).statistic / 100)

    def test_interval_is_the_bootstraps(self) -> None:
        random = np.random.default_rng(0)
        scores = random.normal([[0.5], [0.0]], 1, size=(2, 12))
        found = improvement(["a", "b"], overall(scores.tolist())).iloc[0]
        expected = stats.bootstrap(
            tuple(scores), lambda x, y: (x[:, None] > y).mean(), vectorized=False, method="percentile", rng=random
        ).confidence_interval
        assert (found["low"], found["high"]) == pytest.approx(tuple(expected), abs=0.03)
        assert found["low"] < found["probability"] < found["high"]

    def test_ties_count_one_half_and_lost_runs_lose(self) -> None:
        found = improvement(["a", "b"], overall([[1, 1, 1], [1, 1, NAN]], [[False] * 3, [False, False, True]]))
        assert found["probability"].item() == pytest.approx(2 / 3)
        both = improvement(["a", "b"], overall([[NAN], [NAN]], [[True], [True]]))
        assert both["probability"].item() == 0.5 and np.isnan(both["low"].item())

    def test_runs_that_were_not_made_do_not_count(self) -> None:
        found = improvement(["a", "b", "c"], overall([[1, NAN, 3], [2, 0, NAN], [NAN, NAN, NAN]]))
        assert found[["first", "second"]].to_numpy().tolist() == [["a", "b"]]
        assert found["probability"].item() == 0.75

    def test_is_the_same_each_time_and_wherever_contestants_and_seeds_stand(self) -> None:
        scores = np.random.default_rng(0).normal(size=(3, 12))
        one = improvement(["a", "b", "c"], overall(scores.tolist()))
        other = improvement(["c", "a", "b"], overall(scores[[2, 0, 1], ::-1].tolist()))
        assert one.iloc[0].tolist() == other.iloc[2].tolist()

    def test_the_other_way_round_is_the_complement(self) -> None:
        scores = np.random.default_rng(0).normal(size=(2, 5))
        one = improvement(["a", "b"], overall(scores.tolist())).iloc[0]
        other = improvement(["b", "a"], overall(scores[::-1].tolist())).iloc[0]
        assert one["probability"] == pytest.approx(1 - other["probability"])
        assert (one["low"], one["high"]) == pytest.approx((1 - other["high"], 1 - other["low"]))
