"""`compare` reads files and flags as `fit` does: the parser of the command line is the judge."""

import multiprocessing
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import get_loader

from mtl_lightning.cli.configuration.plain_yaml import dump_yaml, parse_value, read_yaml
from mtl_lightning.cli.parser import WORDS as MODE
from mtl_lightning.cli.resolved import resolved
from mtl_lightning.compare.planning.configs import DEMO, get_value, read_config, restricted
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import make_plan
from mtl_lightning.compare.running import check
from mtl_lightning.compare.running.check import difference, problems
from mtl_lightning.errors import UserError

CONFIGS = Path(__file__).parents[4] / "configs"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where files of a test are; the parser leaves its options in ``sys.argv``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    return tmp_path


def read_both(folder: Path, files: list[str], flags: list[str]) -> tuple[Any, Any]:
    """The whole config of `fit`, and that of what `compare` makes of the same."""
    theirs, problem = resolved([option for file in files for option in ("--config", file)] + flags)
    assert not problem
    (folder / "ours.yaml").write_text(dump_yaml(read_config(files, flags)), "utf-8")
    ours, problem = resolved(["--config", "ours.yaml"])
    assert not problem
    return theirs, ours


ENCODER = "model: {encoder: {class_path: ConvolutionalEncoder, init_args: {features: 64}}}"
STOPS = "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitor: a, patience: 9}}]}"
SIZES = "data: {batch_size: {digits: 4, x: 3}}"
LEFT = "model: {tasks: {left: {class_path: SequenceClassification, init_args: {%s}}, sum: Regression}}"
OTHER = "model: {encoder: {class_path: TransformerEncoder, init_args: {config: %s}}}"
MERGES: dict[str, tuple[list[str], list[str]]] = {
    "another optimizer keeps nothing": (
        ["model: {optimizer: SGD}"],
        ["--model.optimizer.class_path=Adam", "--model.optimizer={class_path: SGD, init_args: {momentum: 0.9}}"],
    ),
    "an argument of two classes": (
        [],
        ["--model.encoder=TransformerEncoder", "--model.encoder.dropout=0.5", "--model.encoder=ConvolutionalEncoder"],
    ),
    "the same class again": (
        [ENCODER, "model: {encoder: ConvolutionalEncoder}"],
        ["--model.encoder", "mtl_lightning.encoders.ConvolutionalEncoder", "--model.weighting.class_path=CAGrad"],
    ),
    "arguments without a class": (
        [ENCODER, "model: {encoder: {init_args: {dropout: 0.5}}}", "model: {encoder: {kernel_size: 5}}"],
        ["--model.encoder={channels: [8]}", "--model.encoder.init_args={in_channels: 2}"],
    ),
    "another class, and an argument that is a mapping": ([OTHER % "{a: 1, b: 2}", OTHER % "{b: 3}"], []),
    "mappings and data sets": (
        [SIZES, "data: {batch_size: {digits: 8}}", "data: {datasets: {digits: {init_args: {val: 10}}}}"],
        ["--data.batch_size.y", "2", "--data.datasets.digits.train=9"],
    ),
    "tasks": (
        [LEFT % "dropout: 0.3", LEFT % "label_smoothing: 0.1"],
        ["--model.tasks={left: {label_smoothing: 0.2}}", "--model.tasks.left.main_metric=macro_f1"],
    ),
    "sections, and files after flags": (
        ["trainer: {max_epochs: 7}"],
        ["--trainer={max_steps: 5}", "--model={lr_interval: epoch}", "--trainer.max_epochs=3", "--config", "0.yaml"],
    ),
    "words that look like numbers": (
        [LEFT % "labels: ['1e3', '007', 'off', 2, '1:30']", "trainer.max_steps: 1_0"],
        ["--project=007", "--name", "2024-01-01", "--trainer.max_time", "1:12:00:00", "--trainer.max_epochs=1_000"],
    ),
    "empty and null": ([], ["--model.gradient_of=", "--model.lr_scheduler=null", "--tensorboard=yes"]),
    "names of the user's own": (
        [
            LEFT % "dropout: 0.3",
            "model: {tasks: {left: null, sum: {class_path: Regression, init_args: {dropout: 0.1}}}}",
        ],
        ["--model.tasks.other", "Regression", "--model.tasks.right=null", "--model.tasks.other.dropout=.2"],
    ),
    "a schedule has defaults of its own": (["data: {schedule: Temperature}"], ["--data.schedule.alpha=.3"]),
    "callbacks": (
        [STOPS, STOPS.replace("monitor: a, ", ""), "trainer: {callbacks+: EarlyStopping}"],
        ["--trainer.callbacks.monitor=b", "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor", "c"],
    ),
}


@pytest.mark.parametrize(("files", "flags"), MERGES.values(), ids=MERGES)
def test_later_files_and_flags_win_as_in_fit(files, flags, folder):
    for number, text in enumerate(files):
        (folder / f"{number}.yaml").write_text(text)
    theirs, ours = read_both(folder, [str(DEMO), *(f"{number}.yaml" for number in range(len(files)))], flags)
    assert difference(theirs, ours) == ""


def test_odd_values_are_left_to_the_parser():
    flags = [
        "--model.encoder.init_args=5",
        "--model.encoder.dropout=0.1",
        "--data.schedule={class_path: A, init_args: 1}",
    ]
    config = read_config([], flags)
    assert config["model"]["encoder"]["init_args"] == {"channels": [32, 64], "features": 128, "dropout": 0.1}
    assert restricted(config, ["sum"])["data"]["schedule"] == {"class_path": "A", "init_args": 1}


@pytest.mark.parametrize("name", ["tox21", "goemotions"])
def test_what_shares_an_anchor_is_changed_apart(name):
    tasks = read_config([str(CONFIGS / f"{name}.yaml")])["model"]["tasks"]
    first, *others = tasks
    changed = read_config([str(CONFIGS / f"{name}.yaml")], [f"--model.tasks.{first}.dropout=0.7"])["model"]["tasks"]
    assert get_value(changed, f"{first}.dropout") == 0.7
    assert {name: changed[name] for name in others} == {name: tasks[name] for name in others}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--data.datasets.digits.root=2024"], "has no argument 'root'"),
        (["--trainer.default_root_dir=2024"], "differently from fit: 'trainer.default_root_dir': expected"),
    ],
    ids=["a mistake", "a number for a word"],
)  # fmt: skip
def test_no_difference_from_fit_is_silent(flags, expected, folder):
    (folder / "ours.yaml").write_text(dump_yaml(read_config([], flags)))
    assert expected in next(problems(flags, ["--config", "ours.yaml"], []))


@pytest.mark.parametrize("here", [True, False])
def test_files_that_are_missing_are_missed_before_anything_is_run_here(here, folder):
    flags = ["--config", str(CONFIGS / "snips.yaml"), "--data.datasets.snips.root=nowhere"]
    (folder / "ours.yaml").write_text(dump_yaml(read_config(flags[1:2], flags[2:])))
    found = list(problems(flags, ["--config", "ours.yaml"], [], here))
    assert len(found) == here
    assert not here or found[0].startswith(
        "data.datasets.snips: no file nowhere/train.jsonl; there is no folder nowhere"
    )


@pytest.mark.parametrize("flags", [[], ["--model.optimizer=SGD"]], ids=["nothing to say", "a note"])
def test_only_what_fit_says_is_passed_on(flags, folder, capsys):
    resolved(flags)
    assert capsys.readouterr().err.splitlines() == [
        "note: model.optimizer: SGD replaces AdamW, whose 'lr' is dropped with it" for _ in flags
    ]


def test_the_config_of_a_contestant_is_read_too(folder):
    (folder / "ours.yaml").write_text(dump_yaml(read_config([])))
    (folder / "its.yaml").write_text("trainer: {max_epoch: 3}")
    found = list(problems([], ["--config", "ours.yaml"], [("contestant 'a': ", ["--config", "its.yaml"])]))
    assert len(found) == 1 and found[0].startswith("contestant 'a': ") and "max_epochs" in found[0]


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ({"a": {"b": 1, "c": float("nan")}}, {"a": {"c": float("nan"), "b": 1}}, ""),
        ({"a": 1}, {"a": True}, "'a': fit reads 1, compare True"),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, "'a.b': fit reads [1], compare [2]"),
        ({}, {"a": {"b": 2}}, "'a': fit reads None, compare {'b': 2}"),
        ({"init_args": {"x": 1}, "class_path": "A"}, {"class_path": "B"}, "'class_path': fit reads 'A', compare 'B'"),
    ],
)
def test_the_first_difference_is_named(theirs, ours, expected):
    assert difference(theirs, ours) == expected


# -- YAML --------------------------------------------------------------------------------------------------------------
WORDS = st.text() | st.from_regex(
    r"[-+]?[0-9_.:]*([eE][-+]?[0-9]+)?|0[xob][0-9a-f]+|[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True
)
WORDS |= st.sampled_from(
    ["off", "Yes", "NO", "y", "null", "~", "=", "<<", ".nan", "-.inf", "1e3", ".5e+3", "1:30.5", "{a}"]
)
PLAIN = st.none() | st.booleans() | st.integers(1 - 10**19, 10**19 - 1) | st.floats(allow_nan=False) | WORDS


@given(
    st.recursive(
        PLAIN, lambda item: st.lists(item, max_size=3) | st.dictionaries(WORDS, item, max_size=3), max_leaves=5
    )
)
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_back_by_jsonargparse(value):
    found = get_loader(MODE)(dump_yaml({"key": value, "other": 1}))
    assert difference(found, {"key": value, "other": 1}) == "" and found["key"] == value


@given(WORDS)
@settings(max_examples=150, deadline=None)
def test_files_are_read_as_jsonargparse_reads_them(tmp_path_factory, word):
    file = tmp_path_factory.getbasetemp() / "word.yaml"
    file.write_bytes(f"other: 1\nkey: {word}".encode())
    try:
        expected = get_loader(MODE)(f"other: 1\nkey: {word}")
    except (yaml.YAMLError, ValueError):
        with pytest.raises(UserError):
            read_yaml(str(file))
    else:
        assert difference({"key": expected["key"]}, {"key": read_yaml(str(file))["key"]}) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), (".5", 0.5), ("-2", -2), ("5.", 5.0), ("true", True), ("null", None), ("[1, a]", [1, "a"]),
        ("{a: 1e3}", {"a": 1000.0}), ("off", "off"), ("007", "007"), ("1:30", "1:30"), ("1_000", "1_000"), ("", ""),
        ("2024-01-01", "2024-01-01"), ("0x1f", "0x1f"), ("a: b: c", "a: b: c"), ("=", "="),
    ],
)  # fmt: skip
def test_only_what_is_surely_a_number_is_one_on_the_command_line(text, value):
    assert (type(parse_value(text)), parse_value(text)) == (type(value), value)


def test_words_of_a_plan_reach_fit_as_they_are(tmp_path):
    (tmp_path / "plan.yaml").write_text("weightings: equal\nflags: {wandb: off, project: 2024, trainer.devices: [0]}")
    settings = parse(["--plan", str(tmp_path / "plan.yaml")])
    assert settings.flags == ["--wandb=off", "--project=2024", "--trainer.devices=[0]"]
    base = make_plan(settings).base
    assert (base["wandb"], base["project"], base["trainer"]["devices"]) == ("off", "2024", [0])


def test_files_before_flags_are_the_config_and_later_ones_stay_in_order():
    settings = parse(["--weightings=equal", "-c", "a", "--seeds=2", "--config=b", "--x=1", "--config", "c", "--y", "2"])
    assert settings.config == ["a", "b"]
    assert settings.flags == ["--x=1", "--config", "c", "--y", "2"]


def test_a_check_that_nobody_waits_for_any_more_ends_without_a_word(monkeypatch, capfd):
    found = iter(["a mistake"])
    monkeypatch.setattr(check, "problems", lambda *arguments: found)
    here, there = multiprocessing.Pipe(duplex=False)
    here.close()
    check._send_problem(there, [], [], [], True)
    there.close()
    assert not list(found) and capfd.readouterr() == ("", "")
