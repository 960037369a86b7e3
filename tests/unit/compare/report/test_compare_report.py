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
from mtl_lightning.compare.report.plots import affinity
from mtl_lightning.compare.report.plots.canvas import styled
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError
from mtl_lightning.compare.report.results import results
from mtl_lightning.compare.report.tables import details, overview
from mtl_lightning.compare.statistics import summarise
from tests.compare_specimen import MANY, METHODS, evidence, summary

ROOT = Path(__file__).parents[4]
OPTIONAL = {"experts", "embeddings", "fronts", "grids"}
"""Plots of what most contestants do not have."""
SHAPES = {
    "usual": {},
    "one seed": {"seeds": 1},
    "no baseline": {"baseline": False},
    "one task": {"tasks": ("only",), "baseline": False},
    "two contestants": {"contestants": ["equal", "upgrad"]},
    "12 contestants, 6 tasks": {
        "contestants": MANY[:12],
        "tasks": [f"task {number}" for number in range(6)],
        "seeds": 2,
    },
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
    assert {path.stem for path in files if path.suffix == ".svg"} == set(plots.DRAWN) - OPTIONAL
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
        ("nothing finished", set(plots.DRAWN) - {"affinity", *OPTIONAL}),
    ],
)
def test_plots_without_anything_to_show_are_left_out(shape, missing):
    found = evidence(**SHAPES[shape])
    material = Material(found, summary(found))
    captions = {name: _caption(function, material) for name, (_, function) in plots.DRAWN.items()}
    assert all(caption.endswith(".") for name, (caption, _) in captions.items() if name not in OPTIONAL)
    assert {name for name, (_, figure) in captions.items() if figure is None} == missing | OPTIONAL


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
