"""Δm, and what contestants are compared by."""

import numpy as np
import pandas as pd
import pytest
from compare_statistics_data import EVIDENCE, METRICS, NAMES, NAN, drawn, evidence_of, only, run, table, without

from mtl_lightning.compare.evidence import SINGLE_TASK, Evidence
from mtl_lightning.compare.statistics import summarise
from mtl_lightning.compare.statistics.delta_m import delta_m
from mtl_lightning.compare.statistics.overall import overall_score
from mtl_lightning.compare.statistics.score_table import score_table


def notes(evidence: Evidence) -> str:
    return "\n".join(summarise(evidence).notes)


class TestDeltaM:
    def test_leaves_loss_out_unless_a_task_has_nothing_else(self) -> None:
        values = np.array([[[0.6, 9.0, 0.1, 2.0]], [[0.5, 1.0, 0.2, 1.0]]])
        found = summarise(evidence_of(values, METRICS, ["equal", SINGLE_TASK]))
        assert found.delta_m["mean"].tolist() == pytest.approx([(20 + 50 - 100) / 3] * 3)

    def test_conventions_weigh_tasks_or_metrics(self) -> None:
        metrics = [("a", "accuracy", True), ("a", "f1", True), ("b", "error", False)]
        found = summarise(
            evidence_of(np.array([[[0.6, 0.7, 0.3]], [[0.5, 0.5, 0.2]]]), metrics, ["equal", SINGLE_TASK])
        )
        means = found.delta_m.set_index("convention")["mean"]
        assert means["main"] == pytest.approx((20 - 50) / 2)
        assert means["tasks"] == pytest.approx(((20 + 40) / 2 - 50) / 2)
        assert means["metrics"] == pytest.approx((20 + 40 - 50) / 3)

    def test_is_against_the_baseline_of_the_same_seed(self) -> None:
        values = np.array([[[0.6], [0.6]], [[0.5], [0.4]]])
        found = summarise(evidence_of(values, METRICS[:1], ["equal", SINGLE_TASK])).deltas.query(
            "convention == 'tasks'"
        )
        assert found["seed"].tolist() == [0, 1] and found["value"].tolist() == pytest.approx([20, 50])

    @pytest.mark.parametrize(("score", "gain"), [(-0.25, 50.0), (-0.75, -50.0), (0.5, 200.0)])
    def test_of_a_negative_baseline_keeps_its_sign(self, score: float, gain: float) -> None:
        values = np.array([[[score]], [[-0.5]]])
        found = summarise(evidence_of(values, [("a", "pearson", True)], ["equal", SINGLE_TASK]))
        assert found.delta_m["mean"].tolist() == pytest.approx([gain] * 3)

    def test_leaves_out_a_metric_whose_baseline_is_zero_in_all_seeds_and_says_so(self) -> None:
        values = drawn()
        values[3, 2, 2] = 0
        evidence = evidence_of(values, METRICS, NAMES)
        kept = summarise(evidence_of(values[:, :, [0, 1, 3]], [METRICS[i] for i in (0, 1, 3)], NAMES))
        pd.testing.assert_frame_equal(summarise(evidence).deltas, kept.deltas)
        assert "Δm leaves slots error out: its single-task score is zero in a seed." in notes(evidence)
        assert "leaves" not in notes(EVIDENCE["full"])

    def test_says_where_a_baseline_near_zero_rules(self) -> None:
        values = drawn()
        values[3, 2, 2] = 0.001
        assert "slots error: the single-task score is near zero" in notes(evidence_of(values, METRICS, NAMES))

    def test_lacks_seeds_without_a_complete_baseline(self) -> None:
        evidence = EVIDENCE["missing seeds"]
        found = summarise(evidence)
        assert "Δm lacks seed 4, where the single-task baseline is incomplete." in found.notes
        counts = found.delta_m.query("convention == 'tasks'").set_index("contestant")["num_seeds"]
        assert counts.to_dict() == {"equal": 3, "upgrad": 3, "pcgrad": 4}


class TestOverall:
    def test_is_delta_m_with_a_baseline_and_the_main_metrics_without(self) -> None:
        found = summarise(EVIDENCE["full"])
        assert found.overall == "Δm (main metrics)"
        delta = found.deltas.query("convention == 'main'").pivot(index="seed", columns="contestant", values="value")
        test = found.tests.query("family == 'reference' and first == 'upgrad'").iloc[0]
        assert test["difference"] == pytest.approx((delta["upgrad"] - delta["equal"]).mean())
        alone = found.tests.query("family == 'reference' and first == @SINGLE_TASK").iloc[0]
        assert alone["difference"] == pytest.approx(-delta["equal"].mean())

        values, evidence = drawn(3), only(NAMES[:3])
        found, main = summarise(evidence), values[:, :, [0, 2, 3]] * [1, -1, -1]
        assert found.overall == "mean of the main metrics" and found.deltas.empty and found.delta_m.empty
        test = found.tests.query("family == 'pairs' and first == 'upgrad' and second == 'pcgrad'").iloc[0]
        assert test["difference"] == pytest.approx((main[1] - main[2]).mean())
        assert any("no single-task baseline" in note for note in found.notes)

    def test_is_the_main_metrics_where_the_baseline_lacks_most_seeds(self) -> None:
        few = summarise(evidence_of(without((3, 0), (3, 1), (3, 2)), METRICS, NAMES))
        most = summarise(evidence_of(without((3, 0), (3, 1)), METRICS, NAMES))
        assert (few.overall, most.overall) == ("mean of the main metrics", "Δm (main metrics)")
        assert "the baseline lacks most seeds" in "\n".join(few.notes)
        assert few.tests.query("first == 'upgrad'")["num_seeds"].min() == 2  # of those with single task
        assert few.tests.query("family == 'reference' and first == 'upgrad'")["num_seeds"].item() == 5

    def test_tests_by_task_are_turned_so_that_positive_is_better(self) -> None:
        values = np.array([[[0.5, 0, 0.5, 0]], [[0.6, 0, 0.3, 0]]]) * np.ones((2, 5, 1))
        found = summarise(evidence_of(values, METRICS, ["equal", "upgrad"])).tests.query("family == 'tasks'")
        assert found["difference"].tolist() == pytest.approx([0.1, 0.2, 0])
        assert found[["task", "metric"]].iloc[1].tolist() == ["slots", "error"]

    def test_is_the_main_metrics_only_where_the_baseline_lacks_more_than_half(self) -> None:
        half = evidence_of(drawn(num_seeds=4), METRICS, NAMES)
        half.scores = half.scores.query("contestant != @SINGLE_TASK or seed > 1")
        assert summarise(half).overall == "Δm (main metrics)"

    def test_a_metric_that_only_the_baseline_has_is_no_part_of_it(self) -> None:
        values = drawn()
        values[:3, :, 2] = NAN
        kept = summarise(evidence_of(values[:, :, [0, 1, 3]], [METRICS[i] for i in (0, 1, 3)], NAMES))
        found = summarise(evidence_of(values, METRICS, NAMES))
        assert found.delta_m["num_seeds"].eq(5).all()
        pd.testing.assert_frame_equal(found.delta_m, kept.delta_m)


class TestLostRuns:
    def lost(self, evidence: Evidence) -> np.ndarray:
        scores = score_table(evidence)
        return overall_score(scores, delta_m(scores)).lost

    def test_are_those_that_broke_and_were_not_repeated(self) -> None:
        evidence = evidence_of(without((1, 0), (2, 0)), METRICS, NAMES)
        broken = [run("equal", 0, "failed"), run("upgrad", 0, "solver"), run("pcgrad", 0, "failed", role="tune")]
        evidence.runs = pd.concat([evidence.runs, table("runs", broken)])
        assert np.argwhere(self.lost(evidence)).tolist() == [[1, 0]]
        assert np.argwhere(score_table(evidence).lost).tolist() == [[1, 0]]

    def test_and_those_that_finished_without_the_metrics_of_the_score(self) -> None:
        values = drawn()
        values[1, 2, 0] = NAN
        assert np.argwhere(self.lost(evidence_of(values, METRICS, NAMES))).tolist() == [[1, 2]]

    def test_but_not_those_whose_baseline_is_missing(self) -> None:
        assert not self.lost(evidence_of(without((3, 2)), METRICS, NAMES)).any()


def test_a_variant_is_measured_against_the_baseline_of_its_own_architecture() -> None:
    names = ["equal", "big", SINGLE_TASK, f"{SINGLE_TASK}: big"]
    metrics = [("a", "accuracy", True), ("b", "accuracy", True)]
    scores = np.array([[0.6, 0.6], [0.9, 0.9], [0.5, 0.6], [0.6, 0.9]])
    values = np.repeat(scores[:, None], 3, axis=1)
    found = summarise(evidence_of(values, metrics, names))
    means = found.delta_m.query("convention == 'tasks'").set_index("contestant")["mean"]
    assert dict(means) == pytest.approx({"equal": 10.0, "big": 25.0})
    assert found.pool == ["equal", "big"]
