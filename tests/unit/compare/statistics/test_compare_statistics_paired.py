"""Intervals, paired tests and their correction: against scipy and statsmodels, and how often they err."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from compare_statistics_data import evidence_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from mtl_lightning.compare.evidence import SINGLE_TASK
from mtl_lightning.compare.statistics.comparisons import comparisons
from mtl_lightning.compare.statistics.delta_m import delta_m
from mtl_lightning.compare.statistics.overall import overall_score
from mtl_lightning.compare.statistics.paired_test import PairedTest, hedges, holm, paired_test, verdict
from mtl_lightning.compare.statistics.score_table import score_table
from mtl_lightning.intervals import t_interval

NAN = float("nan")


def pairs(num_pairs: int = 40, num_seeds: int = 5, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    level = random.normal(size=(num_pairs, num_seeds))
    first, second = random.normal(size=(2, num_pairs, num_seeds))
    return level + first + shift, level + second


def one(first: list[float], second: list[float]) -> PairedTest:
    return paired_test(np.array([first]), np.array([second]))


class TestInterval:
    @pytest.mark.parametrize("num", [2, 3, 5, 30])
    def test_is_that_of_statsmodels(self, num: int) -> None:
        values = np.random.default_rng(num).normal(0.9, 0.01, size=(4, num))
        found = t_interval(values)
        for row in range(4):
            expected = DescrStatsW(values[row]).tconfint_mean()
            assert (found.low[row], found.high[row]) == pytest.approx(expected, rel=1e-12)
        assert found.mean == pytest.approx(values.mean(axis=1), rel=1e-12)

    def test_leaves_out_what_is_not_a_number(self) -> None:
        found, full = t_interval(np.array([[1.0, NAN, 2.0, 4.0]])), t_interval(np.array([[1.0, 2.0, 4.0]]))
        assert found == full and found.num[0] == 3

    def test_one_value_has_none_and_equal_values_have_no_width(self) -> None:
        found = t_interval(np.array([[0.1, NAN, NAN, NAN, NAN, NAN], [0.1] * 6, [NAN] * 6]))
        assert found.mean[:2].tolist() == [0.1, 0.1] and np.isnan(found.mean[2])
        assert np.isnan(found.low[[0, 2]]).all() and np.isnan(found.high[[0, 2]]).all()
        assert found.low[1] == found.high[1] == 0.1
        assert found.num.tolist() == [1, 6, 0]

    def test_of_no_seeds(self) -> None:
        assert np.isnan(t_interval(np.empty((2, 0))).mean).all()


class TestPairedTest:
    @pytest.mark.parametrize("num_seeds", [3, 5, 10])
    def test_is_that_of_scipy(self, num_seeds: int) -> None:
        first, second = pairs(num_seeds=num_seeds, shift=0.5)
        found = paired_test(first, second)
        expected = stats.ttest_rel(first, second, axis=1)
        interval = expected.confidence_interval(0.95)
        assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
        assert found.low == pytest.approx(interval.low, rel=1e-9)
        assert found.high == pytest.approx(interval.high, rel=1e-9)
        assert found.difference == pytest.approx((first - second).mean(axis=1), rel=1e-9)

    def test_effect_is_hedges_g_with_the_interval_of_the_noncentral_t(self) -> None:
        first, second = pairs(shift=1.0)
        found, difference = paired_test(first, second), first - second
        t = stats.ttest_rel(first, second, axis=1).statistic
        correction = 1 - 3 / (4 * 4 - 1)  # Hedges' approximation for 4 degrees of freedom
        assert found.effect == pytest.approx(
            correction * difference.mean(axis=1) / difference.std(axis=1, ddof=1), rel=5e-3
        )
        scale = found.effect / t
        assert stats.nct.cdf(t, 4, found.effect_low / scale) == pytest.approx(np.full(40, 0.975), abs=1e-6)
        assert stats.nct.cdf(t, 4, found.effect_high / scale) == pytest.approx(np.full(40, 0.025), abs=1e-6)

    def test_effect_is_unbiased(self) -> None:
        random = np.random.default_rng(0)
        found = paired_test(random.normal(0.8, 1, size=(40_000, 5)), np.zeros((40_000, 5)))
        assert found.effect.mean() == pytest.approx(0.8, abs=0.015)  # without the correction: 1.0

    def test_intervals_leave_zero_out_exactly_where_p_is_small(self) -> None:
        found = paired_test(*pairs(num_pairs=400, shift=1.2))
        small = found.p < 0.05
        assert 0.2 < small.mean() < 0.8
        assert (small == (found.low * found.high > 0)).all()
        assert (small == (found.effect_low * found.effect_high > 0)).all()

    def test_takes_the_common_seeds(self) -> None:
        found = one([1.0, 2.0, 4.0, NAN, 9.0], [0.5, 1.0, 2.0, 3.0, NAN])
        assert found.p == pytest.approx(stats.ttest_rel([1.0, 2.0, 4.0], [0.5, 1.0, 2.0]).pvalue)
        assert found.num_seeds.tolist() == [3]

    @pytest.mark.parametrize(
        ("first", "num_seeds"), [([1.0, 2.0], 2), ([1.0, NAN, NAN], 1), ([NAN, NAN, NAN], 0), ([1.0, 2.0, NAN], 2)]
    )
    def test_does_not_test_on_fewer_than_three(self, first: list[float], num_seeds: int) -> None:
        found = one(first, [0.0] * len(first))
        assert np.isnan([found.p, found.effect, found.effect_low, found.effect_high]).all()
        assert found.num_seeds.tolist() == [num_seeds]
        assert np.isnan(found.low[0]) == (num_seeds < 2)

    @pytest.mark.parametrize("scores", [[0.91, 0.93, 0.92], [0.0, 0.0, 0.0]], ids=["scores", "zeros"])
    def test_identical_runs_do_not_differ(self, scores: list[float]) -> None:
        found = one(scores, scores)
        assert (found.p[0], found.difference[0], found.low[0], found.high[0], found.effect[0]) == (1, 0, 0, 0, 0)

    @pytest.mark.parametrize(("num_seeds", "p"), [(3, 0.25), (5, 0.0625), (6, 0.03125)])
    def test_a_constant_difference_claims_no_more_than_its_signs(self, num_seeds: int, p: float) -> None:
        base = np.array([[0.3, 1.7, 5.1, 12.9, 40.2, 90.6]])[:, :num_seeds]
        found = paired_test(base + 0.1, base)  # differences differ by rounding only
        assert found.p[0] == p
        assert np.isnan([found.effect, found.effect_low]).all()
        assert found.p[0] == pytest.approx(
            stats.permutation_test((np.full(num_seeds, 0.1),), np.mean, permutation_type="samples").pvalue
        )

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=7), st.floats(0.01, 1e6)
    )
    def test_swapping_turns_the_sign_and_scaling_changes_no_p(
        self, scores: list[tuple[int, int]], scale: float
    ) -> None:
        first, second = np.array(scores, dtype=float).T
        found, turned = one(first.tolist(), second.tolist()), one(second.tolist(), first.tolist())
        scaled = one((first * scale).tolist(), (second * scale).tolist())
        assert found.difference == -turned.difference and found.p == turned.p
        assert found.low == pytest.approx(-turned.high, rel=1e-9, abs=1e-9)
        assert scaled.p == pytest.approx(found.p, rel=1e-6)


class TestHolm:
    @pytest.mark.parametrize("num", [1, 2, 3, 5, 12, 30])
    def test_is_that_of_statsmodels(self, num: int) -> None:
        p = np.random.default_rng(num).choice([0.0, 0.001, 0.01, 0.012, 0.02, 0.04, 0.3, 1.0], size=num)
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)

    def test_never_claims_more_than_scipys_control_of_false_discoveries(self) -> None:
        p = np.random.default_rng(0).uniform(0, 0.1, size=20)
        assert (holm(p) >= stats.false_discovery_control(p)).all() and (
            holm(p) > stats.false_discovery_control(p)
        ).any()

    def test_counts_only_what_was_tested(self) -> None:
        found = holm(np.array([NAN, 0.03, NAN, 0.01]))
        assert found[[1, 3]].tolist() == [0.03, 0.02] and np.isnan(found[[0, 2]]).all()
        assert holm(np.array([])).size == 0


def test_verdicts() -> None:
    assert verdict(0.1, 0.049) == "better" and verdict(-0.1, 0.049) == "worse"
    assert verdict(0.1, 0.05) == verdict(-0.1, 1.0) == "no difference shown"
    assert verdict(0.1, NAN) == "too few seeds"


def test_hedges_is_zero_without_a_difference() -> None:
    assert hedges(np.zeros(1), np.array([5.0]), np.array([5.0])).tolist() == [0.0]


# How often a comparison errs. The seed of the simulations is the number, chosen before any result.


Verdicts = list[tuple[str, str, str, str]]


def simulate(names: list[str], num: int, shift: float = 0.0, num_seeds: int = 5) -> Iterator[Verdicts]:
    """Verdicts on two tasks; a seed's difficulty is common to all, the first is better by ``shift`` sd."""
    random = np.random.default_rng(5)
    metrics = [("intent", "accuracy", True), ("slots", "f1", True)]
    table = score_table(evidence_of(np.ones((len(names), num_seeds, 2)), metrics, names))
    for _ in range(num):
        values = random.normal(size=(len(names), num_seeds, 2)) + random.normal(size=(1, num_seeds, 2))
        values[0] += shift
        drawn = replace(table, values=0.8 + 0.01 * values)
        tests = comparisons(drawn, overall_score(drawn, delta_m(drawn)), names[1])
        yield list(zip(tests["family"], tests["first"], tests["second"], tests["verdict"], strict=True))


def called(rows: Verdicts, family: str, names: set[str]) -> bool:
    """Whether the family calls any of the names different from another of them."""
    claims = ("better", "worse")
    return any(row[0] == family and {row[1], row[2]} <= names and row[3] in claims for row in rows)


def test_the_same_method_under_two_names_is_called_different_in_at_most_five_per_cent() -> None:
    # As compare runs it: the two beside their single-task baseline, all drawn from one distribution.
    found = list(simulate(["again", "equal", SINGLE_TASK], 200))
    assert sum(called(rows, "reference", {"again", "equal"}) for rows in found) <= 10


def test_any_of_eight_null_contestants_is_called_different_in_at_most_five_per_cent() -> None:
    names = [f"equal {i}" for i in range(8)]
    found = list(simulate(names, 200))
    for family in ("reference", "pairs", "tasks"):
        assert sum(called(rows, family, set(names)) for rows in found) <= 10, family


@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_the_paired_test_errs_as_often_as_it_says(num_seeds: int) -> None:
    found = paired_test(*pairs(num_pairs=20_000, num_seeds=num_seeds, seed=5))
    assert (found.p < 0.05).mean() == pytest.approx(0.05, abs=0.005)  # three standard errors


@pytest.mark.parametrize(("num_seeds", "power"), [(5, 0.663), (10, 0.977)])
def test_a_planted_difference_of_two_standard_deviations_is_found(num_seeds: int, power: float) -> None:
    found = paired_test(*pairs(num_pairs=20_000, num_seeds=num_seeds, shift=2.0, seed=5))
    degrees, noncentrality = num_seeds - 1, 2 / np.sqrt(2) * np.sqrt(num_seeds)
    beyond = stats.t.ppf(0.975, degrees)
    assert power == pytest.approx(stats.nct.sf(beyond, degrees, noncentrality), abs=1e-3)
    assert ((found.p < 0.05) & (found.difference > 0)).mean() == pytest.approx(power, abs=0.01)


def test_a_planted_difference_is_found_among_others() -> None:
    found = list(simulate(["planted", *(f"equal {i}" for i in range(4))], 50, shift=3.0, num_seeds=10))
    assert sum(("reference", "planted", "equal 0", "better") in rows for rows in found) >= 48
