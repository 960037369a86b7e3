"""Each plot of the report shows what was found, and says so where that is nothing."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mtl_lightning.compare.evidence import SINGLE_TASK
from mtl_lightning.compare.evidence.collect import _grids
from mtl_lightning.compare.report import plots
from mtl_lightning.compare.report.plots import (
    affinity,
    cosines,
    cost,
    curves,
    embeddings,
    experts,
    forest,
    grids,
    ranks,
    tradeoff,
    weights,
)
from mtl_lightning.compare.report.plots.canvas import styled
from mtl_lightning.compare.report.plots.labels import label_points, spread
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError
from mtl_lightning.compare.statistics import summarise
from mtl_lightning.png import png
from tests.compare_specimen import MANY, METHODS, evidence, summary


@pytest.fixture
def usual():
    return evidence(seeds=3)


def drawn(axes):
    """x and y of the labelled lines, by label."""
    return {line.get_label(): line.get_xydata() for line in axes.lines if not line.get_label().startswith("_")}


def draw(function, found, said=None):
    with styled():
        return function(Material(found, said or summary(found)))[0]


def test_forest_shows_means_intervals_and_seeds(usual):
    said = summary(usual)
    (axes,) = draw(forest.delta_m, usual, said).axes
    means = said.delta_m[said.delta_m["convention"] == "main"].set_index("contestant")
    bars = {bar.get_label(): bar for bar in axes.containers}
    assert set(bars) == set(METHODS)
    for name, bar in bars.items():
        (ends,) = bar.lines[2][0].get_segments()
        np.testing.assert_allclose(ends[:, 0].astype(float), means.loc[name, ["low", "high"]].to_numpy(dtype=float))
        np.testing.assert_allclose(float(bar.lines[0].get_xdata()[0]), means.loc[name, "mean"])
    order = [label.get_text() for label in axes.get_yticklabels()]
    assert order == list(means.sort_values("mean").index)
    small = np.sort(np.concatenate([line.get_xdata() for line in axes.lines if line.get_marker() == "."]))
    values = said.deltas.loc[said.deltas["convention"] == "main", "value"]
    np.testing.assert_allclose(small, np.sort(values))


def test_forest_without_a_baseline_shows_differences_to_the_reference():
    found = evidence(baseline=False)
    said = summary(found)
    (axes,) = draw(forest.delta_m, found, said).axes
    tests = said.tests[said.tests["family"] == "reference"].set_index("first")["difference"]
    at = {bar.get_label(): float(bar.lines[0].get_xdata()[0]) for bar in axes.containers}
    assert at == {"equal": 0.0} | tests.to_dict()


def test_forest_does_not_let_one_outlier_press_the_others_together(usual):
    said = summary(usual)
    far = said.delta_m["contestant"] == "pcgrad"
    said.delta_m.loc[far, ["mean", "low", "high"]] = -400.0, -410.0, -390.0
    (axes,) = draw(forest.delta_m, usual, said).axes
    assert axes.get_xlim()[0] > -50
    assert "-400" in " ".join(text.get_text() for text in axes.texts)


def test_tradeoff_of_two_tasks_shows_means_and_front(usual):
    said = summary(usual)
    lines = drawn(draw(tradeoff.tradeoff, usual, said).axes[0])
    means = said.scores[said.scores["metric"] == "accuracy"].pivot(index="contestant", columns="task", values="mean")
    for name in usual.contestants:
        np.testing.assert_allclose(lines[name][0], means.loc[name, ["intent", "slots"]])
    front = {tuple(point) for point in lines["Pareto front"]}
    for x, y in means[["intent", "slots"]].to_numpy():
        beaten = ((means["intent"] >= x) & (means["slots"] >= y) & ((means["intent"] > x) | (means["slots"] > y))).any()
        assert ((x, y) in front) == (not beaten)


def test_tradeoff_turns_an_axis_where_lower_is_better(usual):
    metrics = usual.metrics.assign(main=usual.metrics["metric"] == "loss")
    axes = draw(tradeoff.tradeoff, replace(usual, metrics=metrics)).axes[0]
    assert axes.xaxis_inverted() and axes.yaxis_inverted()
    points = np.array([[0.1, 0.3], [0.2, 0.2], [0.3, 0.3]])
    assert tradeoff.pareto_front(-points).tolist() == [True, True, False]
    assert tradeoff.pareto_front(points).tolist() == [False, False, True]


def test_tradeoff_of_three_tasks_runs_from_worst_to_best():
    found = evidence(tasks=("a", "b", "c"))
    lines = drawn(draw(tradeoff.tradeoff, found).axes[0])
    heights = np.array([lines[name][:, 1] for name in found.contestants])
    np.testing.assert_allclose(heights.min(0), 0)
    np.testing.assert_allclose(heights.max(0), 1)


def test_curves_are_means_with_bands_of_the_seeds(usual):
    panels = draw(curves.curves, usual).axes
    assert [panel.get_title(loc="left") for panel in panels][1:] == ["intent: accuracy", "slots: accuracy"]
    logged = usual.curves[(usual.curves["contestant"] == "equal") & (usual.curves["name"] == "val/intent/accuracy")]
    by_step = logged.groupby("step")["value"]
    np.testing.assert_allclose(drawn(panels[1])["equal"], by_step.mean().reset_index())
    band = panels[1].collections[0].get_paths()[0].vertices
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [logged["value"].min(), logged["value"].max()])
    assert SINGLE_TASK not in drawn(panels[0])


def test_long_curves_are_thinned_to_means():
    steps = np.arange(10_000)
    logged = pd.DataFrame({"seed": 0, "step": steps, "value": steps.astype(float)})
    kept = curves.thinned(logged, most=100)
    assert len(kept) == 100
    np.testing.assert_allclose(kept["mean"].mean(), steps.mean())


def test_weights_have_a_panel_a_contestant_and_a_line_a_task(usual):
    panels = draw(weights.weights, usual).axes
    titles = [panel.get_title(loc="left") for panel in panels if panel.lines]
    assert titles == METHODS
    np.testing.assert_allclose(drawn(panels[0])["intent"][:, 1], 1 + 0.1 * np.arange(6))


def test_cosines_are_means_over_seeds():
    found = evidence(tasks=("a", "b", "c"))
    panels = draw(cosines.cosines, found).axes
    part = found.cosines[(found.cosines["contestant"] == "equal")].groupby(["first", "second"])["cosine"].mean()
    cells = panels[0].collections[0].get_array().reshape(3, 3)
    np.testing.assert_allclose(cells[0, 1], part["a", "b"])
    np.testing.assert_allclose(cells[2, 1], part["b", "c"])
    assert cells.mask.diagonal().all()


def gates(*rows):
    return pd.DataFrame(rows, columns=["contestant", "seed", "level", "task", "expert", "share"])


def test_experts_are_those_of_the_first_seed_by_contestant_and_level(usual):
    rows = [
        ("upgrad", seed, level, task, expert, share + 0.1 * seed)
        for seed in (2, 1)
        for level in ("level_0", "level_1")
        for task, shares in (("slots", {"shared": 0.3, "slots-0": 0.5}), ("intent", {"shared": 0.2, "intent-0": 0.6}))
        for expert, share in shares.items()
    ]
    others = [("pcgrad", 0, "", task, expert, 0.5) for task in ("intent", "slots") for expert in ("one", "two")]
    panels = draw(experts.experts, replace(usual, gates=gates(*rows, *others))).axes
    assert [panel.get_title(loc="left") for panel in panels] == ["upgrad, level_0", "upgrad, level_1", "pcgrad"]
    cells = panels[0].collections[0].get_array().reshape(2, 3)
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["shared", "slots-0", "intent-0"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["intent", "slots"]
    np.testing.assert_allclose(cells.filled(np.nan), [[0.3, np.nan, 0.7], [0.4, 0.6, np.nan]])


def test_many_experts_are_cut_and_it_says_so():
    tasks = [f"task {number}" for number in range(12)]
    found = evidence(contestants=MANY, tasks=tasks, seeds=1)
    rows = [(name, 0, "", task, f"e{expert}", 0.1) for name in MANY for task in tasks for expert in range(10)]
    found = replace(found, gates=gates(*rows))
    with styled():
        figure, caption = experts.experts(Material(found, summary(found)))
    assert "Shown are 12 of 30 panels." in caption
    assert sum(len(panel.collections) > 0 and bool(panel.get_title(loc="left")) for panel in figure.axes) == 12


def test_embeddings_are_cosines_of_all_seeds(usual):
    rows = [("equal", seed, "intent", "slots", cosine) for seed, cosine in ((0, 0.2), (1, 0.6))]
    frame = pd.DataFrame(rows, columns=["contestant", "seed", "first", "second", "cosine"])
    panels = draw(embeddings.embeddings, replace(usual, similarity=frame)).axes
    assert [panel.get_title(loc="left") for panel in panels if panel.collections] == ["equal"]
    np.testing.assert_allclose(panels[0].collections[0].get_array().reshape(2, 2)[1, 0], 0.4)


def test_of_what_no_contestant_has_nothing_is_said(usual, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "DRAWN", {name: plots.DRAWN[name] for name in ("experts", "embeddings")})
    assert plots.write_plots(usual, summary(usual), tmp_path) == []


def test_critical_difference_joins_the_groups(usual):
    said = summary(usual)
    axes = draw(ranks.critical_difference, usual, said).axes[0]
    lines = drawn(axes)
    assert np.ptp(lines["critical difference"][:, 0]) == pytest.approx(said.critical_difference)
    at = said.ranks.set_index("contestant")["mean_rank"]
    for name in METHODS:
        assert lines[name][0, 0] == pytest.approx(at[name])
    bars = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 3.5]
    assert [tuple(np.round(bar, 6)) for bar in bars] == [
        (round(at[group].min() - 0.03, 6), round(at[group].max() + 0.03, 6)) for group in said.groups
    ]


def test_cost_shows_relative_time_and_quality(usual):
    said = summary(usual)
    lines = drawn(draw(cost.cost, usual, said).axes[0])
    times = said.costs[said.costs["measure"] == "seconds_per_step"].set_index("contestant")["relative"]
    means = said.delta_m[said.delta_m["convention"] == "main"].set_index("contestant")["mean"]
    for name in METHODS:
        np.testing.assert_allclose(lines[name][0], [times[name], means[name]])


def test_affinity_shows_the_matrix(usual):
    said = summary(usual)
    cells = draw(affinity.affinity, usual, said).axes[0].collections[0].get_array().reshape(2, 2)
    np.testing.assert_allclose(cells.filled(np.nan), said.affinity.to_numpy())


@pytest.mark.parametrize("count", [3, 30])
def test_names_of_points_cover_neither_each_other_nor_points(count):
    from mtl_lightning.compare.report.plots.canvas import new_figure

    random = np.random.default_rng(0)
    points = [(*random.normal(size=2), f"contestant {number}") for number in range(count)]
    with styled():
        axes = new_figure(7, 5).subplots()
        axes.plot([x for x, _, _ in points], [y for _, y, _ in points], "o")
        lost = label_points(axes, points)
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    boxes = [type(boxes[0]).from_bounds(*_text_box(text)) for text in axes.texts]
    assert len(boxes) + len(lost) == count
    assert len(lost) <= count // 4
    for at, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[at + 1 :])
        inside = [axes.transData.transform(point[:2]) for point in points]
        assert not any(box.contains(*place) for place in inside)


def _text_box(text):
    """The box of an annotation's text alone, without its line."""
    from matplotlib.text import Text

    return Text.get_window_extent(text).bounds


def test_spread_keeps_order_and_gap():
    values = [3.0, 1.0, 1.1, 1.2, 9.0]
    placed = spread(values, 1.0)
    assert np.argsort(placed, kind="stable").tolist() == np.argsort(values, kind="stable").tolist()
    assert np.diff(sorted(placed)).min() >= 1 - 1e-9
    assert placed[4] == 9.0


def test_contestants_keep_colour_and_marker_and_few_of_many_are_coloured():
    found = evidence(contestants=MANY)
    looks = Material(found, summary(found)).looks
    strong = [name for name, look in looks.items() if look.strong]
    assert len(strong) == 9
    assert {"equal", SINGLE_TASK} <= set(strong)
    assert len({(looks[name].colour, looks[name].marker) for name in strong}) == 9
    best = summary(found).delta_m.query("convention == 'main'").sort_values("mean").iloc[-1]["contestant"]
    assert looks[best].strong


@pytest.mark.parametrize(
    ("function", "change", "reason"),
    [
        (cosines.cosines, "cosines", "No cosines"),
        (weights.weights, "curves", "No weights"),
        (curves.curves, "curves", "No score on validation"),
    ],
    ids=["cosines", "weights", "curves"],
)
def test_plot_without_data_says_why(usual, function, change, reason):
    empty = replace(usual, **{change: getattr(usual, change).iloc[:0]})
    with pytest.raises(NothingToShowError, match=reason):
        draw(function, empty)


def test_a_single_validation_is_no_curve(usual):
    end = usual.curves["step"].max()
    once = usual.curves[~usual.curves["name"].str.startswith("val/") | (usual.curves["step"] == end)]
    with pytest.raises(NothingToShowError, match="Validation came once"):
        draw(curves.curves, replace(usual, curves=once))


def test_a_plot_that_shows_nothing_any_more_is_removed(usual, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "DRAWN", {name: plots.DRAWN[name] for name in ("curves", "delta_m")})
    plots.write_plots(usual, summary(usual), tmp_path)
    assert (tmp_path / "curves.png").exists() and (tmp_path / "curves.svg").exists()
    none = replace(usual, curves=usual.curves.iloc[:0])
    plots.write_plots(none, summary(none), tmp_path)
    assert not list(tmp_path.glob("curves.*"))
    assert (tmp_path / "delta_m.png").exists()


def test_user_settings_of_matplotlib_do_not_matter_and_are_left_alone(usual):
    import matplotlib

    before = matplotlib.rcParams["font.size"]
    with matplotlib.rc_context({"font.size": 40}):
        axes = draw(forest.delta_m, usual).axes[0]
        assert axes.xaxis.label.get_size() < 12
        assert matplotlib.rcParams["font.size"] == 40
    assert matplotlib.rcParams["font.size"] == before


def test_axes_of_cost_hold_the_intervals(usual):
    usual.costs.loc[usual.costs["contestant"] == "upgrad", "seconds_per_step"] = [0.02, 0.03, 0.05]
    said = summarise(usual)
    with styled():
        axes = cost.cost(Material(usual, said))[0].axes[0]
    times = said.costs[said.costs["measure"] == "seconds_per_step"]
    low, high = axes.get_xlim()
    assert low <= max(times["relative_low"].min(), 0) and high >= times["relative_high"].max()


def test_curves_begin_with_the_first_validation(usual):
    with styled():
        figure = curves.curves(Material(usual, summary(usual)))[0]
    for axes in figure.axes:
        drawn = np.concatenate([line.get_ydata() for line in axes.lines])
        low, high = axes.get_ylim()
        assert low <= drawn.min() and high >= drawn.max()


# -- predictions of pixels ---------------------------------------------------------------------------------------------
def test_grids_stand_beside_each_other_by_task(usual, tmp_path):
    rows = []
    for shade, name in enumerate(METHODS[:3]):
        for seed in (1, 0):
            path = tmp_path / f"{name}-{seed}.png"
            path.write_bytes(png(np.full((6, 9, 3), 40 * shade + seed, np.uint8)))
            rows.append((name, seed, "slots", str(path)))
    rows.append((METHODS[0], 0, "intent", str(tmp_path / "gone.png")))
    found = replace(usual, grids=pd.DataFrame(rows, columns=["contestant", "seed", "task", "path"]))
    with styled():
        figure, caption = grids.grids(Material(found, summary(found)))
    shown = {axes.get_title(loc="left"): axes.images[0].get_array() for axes in figure.axes}
    assert [float(of[0, 0, 0]) for of in shown.values()] == pytest.approx([0, 40 / 255, 80 / 255]), "of the first seed"
    assert list(shown) == METHODS[:3] and figure.axes[0].get_ylabel() == "slots"
    assert "the first validation images at the end of training" in caption.lower()


def test_without_grids_there_is_no_plot_of_them(usual):
    with pytest.raises(NothingToShowError):
        draw(grids.grids, usual)


def test_the_newest_grid_of_a_run_is_taken(tmp_path):
    for name in ("depth/9.png", "depth/10.png", "depth/notes.png", "other/3.png"):
        (tmp_path / "grids" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "grids" / name).write_bytes(b"")
    run = SimpleNamespace(contestant=SimpleNamespace(name="equal"), seed=0)
    found = list(_grids([(run, tmp_path, {"metrics": {"depth": {}, "normals": {}}})]))
    assert found == [("equal", 0, "depth", str(tmp_path / "grids" / "depth" / "10.png"))]
