"""Mistakes in the options and plans of `compare` are one line."""

import pytest

from mtl_lightning.compare.command import run
from mtl_lightning.compare.planning.configs import refuse_shared_folders
from mtl_lightning.errors import UserError


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"checkpoint": {"dirpath": "x"}}, "checkpoint.dirpath"),
        ({"trainer": {"default_root_dir": "x"}}, "trainer.default_root_dir"),
        (
            {"trainer": {"logger": {"class_path": "CSVLogger", "init_args": {"save_dir": "x"}}}},
            "trainer.logger.save_dir",
        ),
        ({"trainer": {"logger": [True, {"class_path": "A", "init_args": {"save_dir": "x"}}, "B"]}}, "trainer.logger"),
    ],
)
def test_a_folder_of_all_runs_is_refused(config, key):
    with pytest.raises(UserError, match=f"{key}.*folder of its own; leave out 'x'"):
        refuse_shared_folders(config)


@pytest.mark.parametrize("logger", [False, ["CSVLogger", {"class_path": "CSVLogger"}]])
def test_folders_that_runs_do_not_share_are_fine(logger):
    refused = ""
    try:
        refuse_shared_folders({"trainer": {"logger": logger}, "checkpoint": {"mode": "min"}})
    except UserError as error:
        refused = str(error)
    assert refused == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data=null"], "data: expected keys and values, found None"),
        (["--trainer=5"], "trainer: expected keys and values, found 5"),
        (["--trainer={1: 2}"], "trainer: expected keys and values, found {"),
        (["--model.tasks={1: Regression}"], "model.tasks: expected words as names, found 1"),
        (["--model.weighting.c", "--x=1"], "flag --model.weighting.c has no value"),
        (["--config"], "--config has no value"),
        (["--checkpoint.dirpath=x"], "leave out 'x'"),
        (["--seeds=true"], "seeds: expected a number of seeds"),
        (["--time_limit=true"], "time_limit: expected minutes"),
        (["--variant=single task={a: 1}"], "variant 'single task': compare uses this name itself"),
        (["--variant=tuned weights={a: 1}"], "variant 'tuned weights'"),
        (["--variant=pair a + b={a: 1}"], "variant 'pair a + b'"),
        (["--variant=single task: b={a: 1}"], "variant 'single task: b'"),
    ],
)
def test_mistakes_in_options_are_one_line(arguments, expected, capsys):
    assert run(["--weightings=equal", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and expected in error


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("weightings:", "weightings: expected a list of words, found None"),
        ("weightings: [1]", "weightings: expected a list of words"),
        ("config:", "config: expected a list of words"),
        ("flags:", "flags: expected a list of words"),
        ("flags: 5", "flags: expected a list of words"),
        ("output: 5", "output: expected a word"),
        ("space: {a: {low: x, high: 1}}", "space.a: expected a list of values or"),
        ("space: {a: {low: 1, high: 2, log: 3}}", "space.a: expected a list of values or"),
        ("seeds: true", "seeds: expected a number of seeds"),
        ("seeds: [true]", "seeds: expected a number of seeds"),
        ("slurm: []", "slurm: expected {key: value}"),
        ("variants: {a: }", "variant 'a': expected a YAML file or"),
        ("variants: [1]", "variants: expected {key: value}"),
    ],
)
def test_mistakes_in_a_plan_are_one_line(plan, expected, tmp_path, capsys):
    (tmp_path / "plan.yaml").write_text(plan)
    assert run(["--plan", str(tmp_path / "plan.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and expected in error
