"""The report says what evidence and summary say, in every shape of comparison, and always in the same bytes."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtl_lightning.compare.evidence import MEASURES, SINGLE_TASK
from mtl_lightning.compare.report import plots, write_report
from mtl_lightning.compare.report.headline import headline, meaning
from mtl_lightning.compare.report.markdown import markdown
from mtl_lightning.compare.report.page import page
from mtl_lightning.compare.report.plots import (
    affinity,
    cosines,
    cost,
    curves,
    embeddings,
    experts,
    forest,
    ranks,
    tradeoff,
    weights,
)
from mtl_lightning.compare.report.plots.canvas import styled
from mtl_lightning.compare.report.plots.labels import label_points, spread
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError
from mtl_lightning.compare.report.results import results
from mtl_lightning.compare.report.tables import details, overview
from mtl_lightning.compare.statistics import summarise
from tests.compare_specimen import METHODS, evidence, summary

ROOT = Path(__file__).parents[4]
OF_SHARING = {"experts", "embeddings"}
"""Plots of what most contestants do not have."""
MANY = ["equal", *(f"method {number}" for number in range(29))]
SHAPES = {
    "usual": {},
    "one seed": {"seeds": 1},
    "no baseline": {"baseline": False},
    "one task": {"tasks": ("only",), "baseline": False},
    "two contestants": {"contestants": ["equal", "upgrad"]},
    "30 contestants, 12 tasks": {"contestants": MANY, "tasks": [f"task {number}" for number in range(12)], "seeds": 2},
    "without any run": {"lost": ("pcgrad",)},
    "reference without any run": {"lost": ("equal",), "baseline": False},
    "nothing finished": {"lost": (*METHODS, SINGLE_TASK)},
    "odd names": {
        "contestants": ["equal", "<script>alert(1)</script>", "均匀加权", "a|b $x$_y_"],
        "tasks": ("情感", "<i>"),
    },
}


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def found(request):
    return evidence(**request.param)


@pytest.fixture(scope="module")
def said(found):
    return summary(found)


@pytest.fixture
def usual():
    return evidence(seeds=3)


def rows(table):
    """Texts by column title, by the name of the row."""
    titles = [column.title for column in table.columns]
    return {row[0].text: dict(zip(titles, (cell.text for cell in row), strict=True)) for row in table.rows}


# every shape


def test_page_and_markdown_hold_every_contestant_of_any_shape(found, said):
    html, text = page(found, said, []), markdown(found, said, [])
    names = rows(overview(found, said))
    assert list(names) and set(names) == set(found.contestants)
    for name in found.contestants:
        escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        assert f"<span>{escaped}</span>" in html
        assert re.sub(r"([<>|$_])", r"\\\1", name) in text
    assert "nan" not in re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.DOTALL).lower()
    assert "nan" not in text.lower()
    assert "<script>alert" not in html


def test_tables_are_rectangular_in_any_shape(found, said):
    for table in (overview(found, said), *details(found, said)):
        assert {len(row) for row in table.rows} == {len(table.columns)}, table.name


def test_what_the_statistics_say_fits_in_any_shape(found):
    said = summarise(found)
    html, text = page(found, said, []), markdown(found, said, [])
    assert "nan" not in text.lower()
    assert html.count("<table") == text.count("\n## ") - 2  # plots, and how it was run


def test_every_column_is_explained(usual):
    said = summary(usual)
    for table in (overview(usual, said), *details(usual, said)):
        assert all(column.definition.endswith(".") for column in table.columns), table.name


WRITE = """
import sys; from pathlib import Path
from mtl_lightning.compare.statistics import summarise
from tests.compare_specimen import evidence, summary; from mtl_lightning.compare.report import write_report
found = evidence(["equal", "upgrad"], seeds=2); write_report(found, summary(found), Path(sys.argv[1]))
"""


def test_report_is_complete_and_another_process_writes_the_same_bytes(tmp_path):
    found = evidence(["equal", "upgrad"], seeds=2)
    files = write_report(found, summary(found), tmp_path / "a")
    environment = os.environ | {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", WRITE, tmp_path / "b"], check=True, env=environment, cwd=ROOT)
    again = {path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*.*")}
    assert again == {path.relative_to(tmp_path / "a") for path in files}
    for path in again:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path
    assert {path.stem for path in files if path.suffix == ".svg"} == set(plots.DRAWN) - OF_SHARING
    html = (tmp_path / "a" / "report.html").read_text()
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", html).replace("http-equiv", "")
    for link in re.findall(r'href="([^#"]+)"', html):
        assert (tmp_path / "a" / link).is_file(), link
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'"#([^"]+)"', html)) | set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)


@pytest.mark.parametrize(
    ("shape", "missing"),
    [
        ("usual", set()),
        ("one seed", {"critical_difference"}),
        ("no baseline", set()),
        ("one task", {"tradeoff", "weights", "cosines", "affinity"}),
        ("odd names", set()),
        ("without any run", set()),
        ("reference without any run", {"delta_m", "cost"}),
        ("nothing finished", set(plots.DRAWN) - {"affinity", *OF_SHARING}),
    ],
)
def test_plots_without_anything_to_show_are_left_out(shape, missing):
    found = evidence(**SHAPES[shape])
    material = Material(found, summary(found))
    captions = {name: _caption(function, material) for name, (_, function) in plots.DRAWN.items()}
    assert all(caption.endswith(".") for name, (caption, _) in captions.items() if name not in OF_SHARING)
    assert {name for name, (_, figure) in captions.items() if figure is None} == missing | OF_SHARING


def _caption(function, material):
    try:
        with styled():
            figure, caption = function(material)
    except NothingToShowError as reason:
        return str(reason), None
    return caption, figure


def test_page_says_why_a_plot_is_left_out(usual):
    html = page(usual, summary(usual), [plots.Plot("curves", "Curves", "There is <nothing>.")])
    assert "<b>Curves</b> is left out: There is &lt;nothing&gt;." in html


def test_report_without_matplotlib_says_so(usual, tmp_path, monkeypatch):
    monkeypatch.setattr("mtl_lightning.compare.report.find_spec", lambda name: None)
    files = write_report(usual, summary(usual), tmp_path)
    assert [file.name for file in files] == ["report.html", "report.md", "results.csv", "results.parquet"]
    assert "matplotlib is not installed" in (tmp_path / "report.html").read_text()


def test_import_is_light():
    code = "import sys, mtl_lightning.compare.report as r; print([m for m in ('torch', 'lightning', 'transformers', "
    code += "'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


# the answer


def with_verdicts(said, **verdicts):
    tests = said.tests.copy()
    chosen = tests["family"] == "reference"
    tests.loc[chosen, "verdict"] = [verdicts.get(name, "no difference shown") for name in tests.loc[chosen, "first"]]
    return replace(said, tests=tests)


def test_answer_says_plainly_that_nothing_was_shown(usual):
    said = headline(usual, with_verdicts(summary(usual)))
    assert said == [
        "None of the 4 other contestants was shown to differ from equal by Δm (main metrics) on the test split.",
        meaning(summary(usual)),
    ]


def test_answer_of_two_contestants(usual):
    found = evidence(contestants=["equal", "upgrad"])
    assert headline(found, with_verdicts(summary(found))) == [
        "upgrad was not shown to differ from equal by Δm (main metrics) on the test split.",
        meaning(summary(found)),
    ]


def test_answer_names_difference_interval_and_cost(usual):
    said = summary(usual)
    tests = said.tests.copy()
    chosen = (tests["family"] == "reference") & (tests["first"] == "upgrad")
    tests.loc[chosen, ["difference", "low", "high"]] = 1.25, 0.5, 2.0
    sentences = headline(usual, with_verdicts(replace(said, tests=tests), upgrad="better", pcgrad="too few seeds"))
    assert (
        "Shown to be better than equal: upgrad (by +1.25, 95 % interval [+0.50, +2.00], at 1.60 times" in sentences[1]
    )
    assert sentences[2] == "For uncertainty, nashmtl no difference from equal was shown."
    assert sentences[3] == "For pcgrad too few seeds finished to tell."


def test_answer_says_who_was_better_and_who_worse(usual):
    sentences = headline(usual, with_verdicts(summary(usual), upgrad="better", pcgrad="worse", nashmtl="worse"))
    starts = [
        "Compared by Δm",
        "Shown to be better than equal: upgrad",
        "Shown to be worse than equal: ",
        "For uncer",
        "Δm is",
    ]
    assert [sentence[: len(start)] for sentence, start in zip(sentences, starts, strict=True)] == starts
    assert "pcgrad" in sentences[2] and "nashmtl" in sentences[2]


def test_answer_of_one_seed_asks_for_more():
    found = evidence(seeds=1)
    assert headline(found, summary(found))[0].startswith("Too few seeds to show a difference from equal")


def test_answer_where_nothing_finished():
    found = evidence(lost=(*METHODS, SINGLE_TASK))
    assert headline(found, summary(found))[0].startswith("Nothing was compared with equal")


# the tables


def test_overview_shows_the_summary(usual):
    said = summary(usual)
    said.delta_m[["mean", "low", "high"]] = -1.5, -2.0, -1.0
    said.costs.loc[(said.costs["contestant"] == "upgrad") & (said.costs["measure"] == "peak_memory"), "relative"] = 3.25
    table = rows(overview(usual, said))
    assert table["equal"]["Δm %"] == "\u22121.50 ± 0.50"
    assert table["upgrad"]["memory"] == "\u00d7 3.25"
    assert table["equal"]["against equal"] == "reference"
    assert table["equal"]["runs"] == "3 of 3"
    assert table[SINGLE_TASK]["Δm %"] == "0"


def test_overview_puts_the_best_first_and_those_without_a_score_last():
    found = evidence(lost=("uncertainty",))
    said = summary(found)
    table = overview(found, said)
    means = [row[table.sorted_by].key for row in table.rows]
    assert means[:-1] == sorted(means[:-1], reverse=True)
    assert 0.0 in means
    assert means[-1] is None and table.rows[-1][0].text == "uncertainty"
    assert rows(table)["uncertainty"]["runs"] == "0 of 5, 5 failed"


def test_missing_values_are_a_dash_without_a_key():
    found = evidence(lost=("pcgrad",))
    table = overview(found, summary(found))
    (row,) = [row for row in table.rows if row[0].text == "pcgrad"]
    cells = [cell for cell in row if cell.text == "\u2013"]
    assert len(cells) > 5
    assert all(cell.sort_key == "" for cell in cells)


def test_absolute_costs_are_in_the_tooltip(usual):
    table = overview(usual, summary(usual))
    at = [column.title for column in table.columns].index("time per step")
    tips = {row[0].text: row[at].tip for row in table.rows}
    assert tips["equal"] == "20.0 ms [20.0 ms, 20.0 ms]"


def test_relative_costs_have_an_interval_where_seeds_differ(usual):
    usual.costs.loc[usual.costs["contestant"] == "upgrad", "seconds_per_step"] = [0.02, 0.03, 0.04]
    table = rows(overview(usual, summarise(usual)))
    assert table["upgrad"]["time per step"] == "\u00d7 1.50 ± 1.24"  # ratios 1, 1.5 and 2: 4.303 * 0.5 / √3
    assert table["equal"]["time per step"] == "\u00d7 1.00"
    usual.facts["runs at a time"] = "3, 1 thread(s) each"
    (column,) = [column for column in overview(usual, summarise(usual)).columns if column.title == "time per step"]
    assert column.definition.endswith("The machine's load enters (runs at a time: 3, 1 thread(s) each).")


def test_the_answer_names_no_time_that_may_be_the_same(usual):
    usual.costs.loc[usual.costs["contestant"] == "upgrad", "seconds_per_step"] = [0.02, 0.03, 0.04]
    said = with_verdicts(replace(summary(usual), costs=summarise(usual).costs), upgrad="better", pcgrad="better")
    named = " ".join(headline(usual, said)).split("; ")
    assert ["times the time per step" in name for name in named] == ["pcgrad" in name for name in named]


def test_cosines_say_how_many_steps_they_are_of(usual):
    table = overview(usual, summary(usual))
    at = [column.title for column in table.columns].index("conflicting")
    assert {row[at].tip for row in table.rows if row[0].text == "equal"} == {"seen in 1200 steps of 3 runs"}


def test_skipped_steps_are_those_of_all_runs(usual):
    usual.costs.loc[usual.costs["contestant"] == "upgrad", "skipped_steps"] = [1, 2, 4]
    table = overview(usual, summarise(usual))
    (tip,) = [row[-1].tip for row in table.rows if row[0].text == "upgrad"]
    assert tip == "skipped steps (not finite), of all its runs: 7"


def test_searches_of_single_tasks_are_shown_one_by_one(usual):
    names = usual.trials["contestant"].replace(SINGLE_TASK, f"{SINGLE_TASK} intent")
    found = replace(usual, trials=usual.trials.assign(contestant=names), chosen={})
    (table,) = [t for t in details(found, summary(found)) if t.name == "search"]
    assert [row[0].text for row in table.rows] == [*METHODS, f"{SINGLE_TASK} intent"]


def test_improvement_is_filled_from_one_direction(usual):
    said = summary(usual)
    one = pd.DataFrame([("equal", "upgrad", 0.2, 0.1, 0.4)], columns=["first", "second", "probability", "low", "high"])
    (table,) = [t for t in details(usual, replace(said, improvement=one)) if t.name == "improvement"]
    assert rows(table)["equal"]["upgrad"] == "0.20"
    assert rows(table)["upgrad"]["equal"] == "0.80"


def test_failures_show_message_and_folder():
    found = evidence(lost=("pcgrad",))
    (table,) = [t for t in details(found, summary(found)) if t.name == "failures"]
    assert len(table.rows) == 5
    assert table.rows[0][4].text.startswith("RuntimeError: the <b>encoder</b> raised")
    assert table.rows[0][5].text == "runs/pcgrad-0"
    html = page(found, summary(found), [])
    assert "<b>encoder</b>" not in html
    assert "&lt;b&gt;encoder" in html


def test_markdown_tables_have_as_many_cells_in_every_line():
    found = evidence(**SHAPES["odd names"])
    text = markdown(found, summary(found), [])
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1


# results of every run


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_spreadsheet_takes_no_name_for_a_formula(name, tmp_path):
    from mtl_lightning.compare.report.results import write_results

    found = evidence()
    first = found.contestants[0]
    scores = found.scores.replace({"contestant": {first: name}})
    csv, parquet = write_results(replace(found, scores=scores), tmp_path)
    read = pd.read_csv(csv)
    assert (f"'{name}" if name != "\rx" else "\\rx") in set(read["contestant"])
    assert name in set(pd.read_parquet(parquet)["contestant"])
    assert read["value"].dtype == float
    assert not read["contestant"].dropna().str.startswith(("=", "+", "-", "@", "\t", "\r")).any()


def test_csv_and_parquet_agree_and_hold_every_score(found, tmp_path):
    from mtl_lightning.compare.report.results import write_results

    csv, parquet = write_results(found, tmp_path)
    kept = results(found)
    read = pd.read_csv(csv, dtype=kept.dtypes.to_dict())
    pd.testing.assert_frame_equal(read, kept)
    pd.testing.assert_frame_equal(pd.read_parquet(parquet).astype(kept.dtypes.to_dict()), kept)
    compared = kept[(kept["role"] == "compare") & (kept["status"] == "finished")]
    keys = ["contestant", "seed", "task", "metric"]
    assert compared.set_index(keys)["value"].to_dict() == found.scores.set_index(keys)["value"].to_dict()
    assert len(kept[kept["role"] == "tune"]) == len(found.trials)
    assert len(kept[kept["role"] == "pair"]) == len(found.pairs)
    assert len(kept[kept["status"] == "failed"]) == (found.runs["status"] == "failed").sum()


def test_rows_of_results_do_not_depend_on_the_order_of_the_evidence(usual):
    mixed = replace(usual, scores=usual.scores.sample(frac=1, random_state=1), runs=usual.runs.iloc[::-1])
    pd.testing.assert_frame_equal(results(mixed), results(usual))


def test_costs_stand_beside_the_scores_of_their_run(usual):
    usual.costs.loc[3, "seconds_per_step"] = 0.5
    kept = results(usual)
    run = usual.costs.loc[3]
    part = kept[(kept["contestant"] == run.contestant) & (kept["seed"] == run.seed) & (kept["role"] == "compare")]
    assert (part["seconds_per_step"] == 0.5).all()
    assert set(MEASURES) <= set(kept.columns)


# the plots


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
    monkeypatch.setattr(plots, "DRAWN", {name: plots.DRAWN[name] for name in OF_SHARING})
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


def test_a_plot_that_shows_nothing_any_more_is_removed(usual, tmp_path):
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


# what a researcher saw


def test_the_baseline_is_no_contestant_of_the_answer(usual):
    tests = summary(usual).tests
    alone = tests[tests["family"] == "reference"].iloc[:1].assign(first=SINGLE_TASK)
    said = with_verdicts(replace(summary(usual), tests=pd.concat([tests, alone], ignore_index=True)))
    said.tests.loc[said.tests["first"] == SINGLE_TASK, "verdict"] = "worse"
    sentences = headline(usual, said)
    assert sentences[0].startswith("None of the 4 other contestants")
    assert sentences[1] == "The baseline 'single task' is shown to be worse than equal."


@pytest.mark.parametrize(("convention", "words"), [("main", "main metric"), ("metrics", "all metrics of all tasks")])
def test_delta_m_is_of_what_was_asked_for_and_is_explained_first(usual, convention, words):
    said = summarise(replace(usual, delta_m=convention))
    assert words in headline(usual, said)[-1]
    shown = rows(overview(usual, said))
    mean = said.delta_m.query("convention == @convention and contestant == 'upgrad'")["mean"].item()
    assert float(shown["upgrad"]["Δm %"].split(" ")[0].replace("\u2212", "-")) == pytest.approx(mean, abs=0.06)
    assert [title for title in shown["upgrad"] if "Δm" in title] == ["Δm %"]


def busy(found, ratio=1.6):
    return replace(found, costs=found.costs.assign(cpu_seconds_per_step=found.costs["seconds_per_step"] / ratio))


def test_times_are_the_processors_where_it_is_known_and_a_busy_machine_is_said(usual):
    found = busy(usual)
    said = summarise(found)
    shown = rows(overview(found, said))["upgrad"]
    assert "processor time per step" in shown and "time per step" not in shown
    assert any("a step took 1.6 times the processor's time" in note for note in said.notes)
    quiet = busy(usual, 1.02)
    assert not any("busy" in note for note in summarise(quiet).notes)
    assert "time per step" in rows(overview(usual, summarise(usual)))["upgrad"]


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


def test_a_small_cosine_is_pale(usual):
    matrix = pd.DataFrame([[np.nan, 0.06], [0.06, np.nan]], index=["intent", "slots"], columns=["intent", "slots"])
    said = replace(summary(usual), affinity=matrix, affinity_source="cosines")
    table = next(table for table in details(usual, said) if table.name == "affinity")
    assert [cell.heat for cell in table.rows[0][1:]] == [None, pytest.approx(0.06)]
    with styled():
        (mesh,) = affinity.affinity(Material(usual, said))[0].axes[0].collections
    assert mesh.get_clim() == (-1, 1)
    gains = replace(said, affinity=10 * matrix, affinity_source="pairs")
    table = next(table for table in details(usual, gains) if table.name == "affinity")
    assert table.rows[0][2].heat == pytest.approx(0.6 / 5)
