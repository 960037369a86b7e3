"""Fronts of preferences: which contestants make them, what they dominate, and what is said of them."""

from typing import Any

import numpy as np
import pytest
from compare_statistics_data import evidence_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import mtl_lightning.sharing
import mtl_lightning.weighting
from mtl_lightning.compare.planning.catalogue import WEIGHTINGS
from mtl_lightning.compare.planning.fronts import DRAWS, PREFERENCES, TOLD, preferences
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import make_plan
from mtl_lightning.compare.report.headline import headline
from mtl_lightning.compare.report.plots.canvas import styled
from mtl_lightning.compare.report.plots.fronts import fronts as drawn
from mtl_lightning.compare.report.plots.looks import Material
from mtl_lightning.compare.report.tables.fronts import fronts
from mtl_lightning.compare.statistics import summarise
from mtl_lightning.compare.statistics.fronts import hypervolume, spacing, undominated
from mtl_lightning.errors import UserError
from mtl_lightning.weighting import STCH, FixedWeighting, UPGrad

METRICS = [("a", "accuracy", True), ("b", "error", False)]
FRONTS = {"stch": ["stch 1:3", "stch 1:1"], "fixed": ["fixed 1:3", "fixed 1:1"]}
NAMES = ["equal", *FRONTS["stch"], *FRONTS["fixed"]]
POINTS = arrays(float, st.tuples(st.integers(1, 6), st.integers(2, 3)), elements=st.floats(0, 1, width=16))


def plan(*options: str) -> Any:
    return make_plan(parse(["--single_task", "false", *options]))


def test_three_tasks_are_swept_over_the_inside_of_a_triangle() -> None:
    points = preferences(3, 6)
    assert len(set(points)) == 6 and min(min(point) for point in points) > 0
    assert [sum(point) for point in points] == pytest.approx([1] * 6)
    for number, said in ((4, "take 3 or 6"), (7, "take 6 or 10")):
        with pytest.raises(UserError, match=said):
            preferences(3, number)
    with pytest.raises(UserError, match="two or three tasks"):
        preferences(4, 5)


@pytest.mark.parametrize("kind", [FixedWeighting, STCH, UPGrad], ids=lambda kind: kind.__name__)
def test_each_weighting_takes_the_preferences_that_it_is_given(kind: Any) -> None:
    made = kind(["a", "b"], **{PREFERENCES[kind.__name__]: {"a": 0.25, "b": 0.75}})
    assert made is not None


def test_weightings_with_preferences_make_fronts_beside_fixed_weights() -> None:
    found = plan("--weightings", "equal,stch", "--front", "3")
    assert found.fronts.keys() == {"stch", "fixed"} and all(len(names) == 3 for names in found.fronts.values())
    assert found.names == ["equal", *found.fronts["stch"], *found.fronts["fixed"]]
    config = next(run.config for run in found.all_runs() if run.contestant.front == "fixed")
    weights = config["model"]["weighting"]["init_args"]["weights"]
    assert set(weights) == {"left", "right", "sum"} and sum(weights.values()) == pytest.approx(3)


def test_one_model_for_all_preferences_is_trained_once_and_asked_for_each() -> None:
    one = "one={model.sharing: PreferenceFiLM, model.weighting: COSMOS, model.weighting.cosine: 0}"
    found = plan("--weightings", "cosmos,stch", "--variant", one, "--front", "3", "--seeds", "2", "--tune", "2")
    models = {contestant.name: contestant for contestant in found.contestants if contestant.asked}
    assert models.keys() == {"cosmos", "one"} and found.names[-6:] == [*models["cosmos"].shown, *models["one"].shown]
    assert found.fronts.keys() == {"stch", "fixed", "cosmos", "one"} and found.reference == found.fronts["stch"][0]
    for contestant in models.values():
        assert contestant.changes["model.sharing"] == "PreferenceFiLM" and len(found.runs(contestant)) == 2
        asked = found.runs(contestant)[0].config["preferences"]
        assert [sum(each.values()) for each in asked] == pytest.approx([1] * 3) and set(asked[0]) == set(found.tasks)
        assert "preferences" not in found.trial(contestant, {}).config
    assert sum("preferences" in run.config for run in found.all_runs()) == 4


@pytest.mark.parametrize(
    "options",
    [
        ("--weightings", "cosmos"),
        ("--weightings", "cosmos", "--front", "3", "--model.sharing", "MMoE"),
        ("--weightings", "equal", "--front", "3", "--model.sharing", "PreferenceFiLM"),
    ],
)
def test_nothing_else_is_asked(options: tuple[str, ...]) -> None:
    found = plan(*options)
    assert not any(contestant.asked for contestant in found.contestants)
    assert all("preferences" not in run.config for run in found.all_runs())
    assert all("model.sharing" not in contestant.changes for contestant in found.contestants)


def test_two_fronts_of_one_name_are_refused() -> None:
    one = "stch={model.sharing: PreferenceFiLM, model.weighting: COSMOS}"
    with pytest.raises(UserError, match=r"two contestants are called 'stch .*give the variant another name"):
        plan("--weightings", "stch", "--variant", one, "--front", "3")


def test_what_makes_one_model_for_all_preferences_is_what_the_classes_say() -> None:
    weightings = {name for name in WEIGHTINGS if getattr(mtl_lightning.weighting, name).draws_preference}
    sharings = {name for name in mtl_lightning.sharing.__all__ if wants_preference(name)}
    assert (weightings, sharings) == ({DRAWS}, {TOLD})


def wants_preference(name: str) -> bool:
    return bool(getattr(getattr(mtl_lightning.sharing, name), "wants_preference", False))


@given(POINTS)
def test_a_volume_is_that_of_the_points_that_nothing_dominates(points: np.ndarray) -> None:
    volume = hypervolume(points)
    assert hypervolume(undominated(points)) == pytest.approx(volume)
    assert points.prod(1).max() - 1e-9 <= volume <= min(points.prod(1).sum(), points.max(0).prod()) + 1e-9
    better = np.minimum(points + 0.1, 1.1)
    assert hypervolume(better) > volume


def test_a_volume_is_what_random_points_find() -> None:
    draw = np.random.default_rng(0)
    points, places = draw.random((6, 3)), draw.random((200_000, 3))
    share = (places[:, None] <= points[None]).all(-1).any(1).mean()
    assert hypervolume(points) == pytest.approx(share, abs=0.005)


def test_spacing_knows_even_points() -> None:
    even = np.array([[0, 3], [1, 2], [2, 1], [3, 0]], float)
    assert spacing(even) == 0 and spacing(even[[0, 1, 3]]) > 0 and np.isnan(spacing(even[:1]))


def scores(shift: float) -> np.ndarray:
    """[contestants, seeds, metrics]: fixed weights reach less in all seeds where ``shift`` is above 0."""
    base = np.array([[0.5, 0.5], [0.4, 0.2], [0.8, 0.6], [0.4, 0.2], [0.8, 0.6]])
    values = base[:, None] + np.random.default_rng(0).normal(0, 0.002, (5, 4, 2))
    values[3:] += [-shift, shift]
    return values


def test_a_front_is_compared_with_that_of_fixed_weights_seed_by_seed() -> None:
    evidence = evidence_of(scores(0.1), METRICS, NAMES, fronts=FRONTS)
    summary = summarise(evidence)
    found = summary.fronts.set_index(["front", "measure"])
    stch, fixed = found.loc[("stch", "hypervolume")], found.loc[("fixed", "hypervolume")]
    assert 0 < fixed["mean"] < stch["mean"] <= 1 and stch.num_seeds == 4
    assert stch.difference == pytest.approx(stch["mean"] - fixed["mean"]) and stch.difference_low > 0
    assert found.loc[("stch", "points")]["mean"] == 2
    assert "front of stch dominates more than that of fixed weights" in " ".join(headline(evidence, summary))
    table = fronts(summary)
    assert [row[0].text for row in table.rows] == ["stch", "fixed"] and table.rows[0][2].tone == "better"
    with styled():
        figure, _ = drawn(Material(evidence, summary))
    assert {line.get_label() for line in figure.axes[0].lines} >= {"stch", "fixed", "equal"}


def test_a_seed_that_lacks_a_point_does_not_count() -> None:
    values = scores(0.0)
    values[1, 0] = np.nan
    found = summarise(evidence_of(values, METRICS, NAMES, fronts=FRONTS)).fronts.set_index(["front", "measure"])
    assert found.loc[("stch", "hypervolume")].num_seeds == 3 and found.loc[("fixed", "hypervolume")].num_seeds == 4
    nothing = evidence_of(np.full((5, 2, 2), np.nan), METRICS, NAMES, fronts=FRONTS)
    assert summarise(nothing).fronts["mean"].isna().all()
