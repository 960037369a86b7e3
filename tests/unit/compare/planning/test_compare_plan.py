"""What `compare` makes of its options: contestants, configs and keys, all without torch."""

import inspect
import re
import subprocess
import sys
from dataclasses import fields

import pytest
import yaml

from mtl_lightning import chains, weighting
from mtl_lightning.cli.configuration.merge import arguments_of, class_path
from mtl_lightning.compare.command import run
from mtl_lightning.compare.planning.catalogue import (
    FIXED,
    JOINT_OUTPUTS,
    WEIGHTINGS,
    WITH_ARGUMENTS,
    Choice,
    Range,
    class_name,
    short_name,
)
from mtl_lightning.compare.planning.configs import get_value, read_config, restricted, set_value
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import Plan, make_plan
from mtl_lightning.compare.planning.settings import Settings
from mtl_lightning.errors import UserError


def plan(*arguments: str) -> Plan:
    return make_plan(parse(arguments))


def labels(*arguments: str) -> list[str]:
    return [contestant.label for contestant in plan(*arguments).contestants]


# -- the catalogue -----------------------------------------------------------------------------------------------------
FAMILIES = {
    "loss": weighting.LossWeighting,
    "gramian": weighting.GramianWeighting,
    "jacobian": weighting.JacobianWeighting,
}


def test_the_catalogue_has_every_method():
    classes = {name for name in weighting.__all__ if inspect.isclass(getattr(weighting, name))}
    abstract = {name for name in classes if inspect.isabstract(getattr(weighting, name))}
    adapters = {name for name in classes if name.startswith("TorchJD")}
    assert set(WEIGHTINGS) == classes - abstract - adapters - {FIXED, *WITH_ARGUMENTS, "Weighting"}


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_a_method_that_needs_an_argument_is_compared_as_a_variant(name):
    cls = getattr(weighting, name)
    assert issubclass(cls, weighting.GramianWeighting)
    assert inspect.signature(cls).parameters[WITH_ARGUMENTS[name]].default is inspect.Parameter.empty
    with pytest.raises(UserError, match=f"{name} needs `{WITH_ARGUMENTS[name]}`; compare it as a variant: --variant"):
        class_name(name.lower())


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_the_catalogue_is_right(name):
    cls = getattr(weighting, name)
    assert issubclass(cls, FAMILIES[WEIGHTINGS[name].family])
    assert WEIGHTINGS[name].plain != cls.perturbs_parameters
    assert WEIGHTINGS[name].batches == cls.batches_per_step + cls.needs_validation_batch
    parameters = inspect.signature(cls).parameters
    for option, searched in WEIGHTINGS[name].options.items():
        assert searched.default == parameters[option].default and searched.holds(searched.default)
        values = (searched.low, searched.high) if isinstance(searched, Range) else searched.values
        for value in values:
            cls(["a", "b"], **{option: value})


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("equal", "EqualWeighting"),
        ("EqualWeighting", "EqualWeighting"),
        ("nash-mtl", "NashMTL"),
        ("scale_invariant", "ScaleInvariantWeighting"),
        ("own.Weighting", "own.Weighting"),
        ("mtl_lightning.weighting.CAGrad", "CAGrad"),
    ],
)
def test_names_are_understood(name, cls):
    assert class_name(name) == cls


def test_short_names_are_understood_and_differ():
    names = [short_name(cls) for cls in WEIGHTINGS]
    assert [class_name(name) for name in names] == list(WEIGHTINGS)
    assert len(set(names)) == len(names)


# -- contestants -------------------------------------------------------------------------------------------------------
def test_contestants_of_a_plain_comparison():
    assert labels("--weightings=equal,upgrad") == [
        *("equal", "upgrad", "single task left", "single task right", "single task sum")
    ]


def test_a_search_adds_fixed_weights_and_pairs_add_pairs():
    found = labels("--weightings=upgrad", "--tune=2", "--pairs=true", "--single_task=false")
    assert found == ["upgrad", "tuned weights", "pair left + right", "pair left + sum", "pair right + sum"]


def test_variants_that_change_more_than_the_weighting_have_a_baseline_of_their_own():
    variants = ("--variant=big={model.encoder.features: 512}", "--variant=turns={data.schedule: Alternating}")
    made = plan(*variants)
    baselines = [contestant.label for contestant in made.contestants if contestant.tasks]
    names = ("single task", "single task: big")
    assert baselines == [f"{name} {task}" for name in names for task in ("left", "right", "sum")]
    assert get_value(made.runs(made.contestants[-1])[0].config, "model.encoder.features") == 512
    assert made.reference == "big"
    fewer = plan("--variant=fewer={model.tasks.sum: null}").contestants[-2:]
    assert [each.label for each in fewer] == ["single task: fewer left", "single task: fewer right"]


def test_all_is_all():
    assert labels("--weightings=all", "--single_task", "false") == [short_name(name) for name in WEIGHTINGS]


def test_joint_outputs_are_no_tasks_to_weigh_and_without_labels_no_single_tasks(tmp_path):
    assert {name for name in chains.__all__ if issubclass(getattr(chains, name), chains.Fusion)} == {
        *JOINT_OUTPUTS,
        "Fusion",
    }
    datasets = {"d": {"class_path": "FileSource", "init_args": {"labels": {"a": "a", "b": "b", "sum": "s"}}}}
    chain = {"sum": "Product", "mean": {"class_path": "mtl_lightning.chains.Mean", "init_args": {"trained": True}}}
    chain |= {"free": {"class_path": "Formula", "init_args": {"formula": "a * b"}}, "b": "ESMM"}
    tasks = dict.fromkeys(("a", "b", "sum", "mean", "free"), "Regression")
    optimizer = {"class_path": "AdamW", "init_args": {"lr": 0.1}}
    config = {"model": {"tasks": tasks, "chain": chain, "optimizer": optimizer}, "data": {"datasets": datasets}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    made = plan(f"--config={tmp_path / 'config.yaml'}", "--weightings=equal", "--tune=2")
    tuned = next(contestant for contestant in made.contestants if contestant.own)
    assert [key.rsplit(".", 1)[-1] for key in tuned.own] == ["a", "b", "mean"]
    alone = [contestant for contestant in made.contestants if contestant.tasks]
    assert [contestant.tasks for contestant in alone] == [("a",), ("b",), ("sum",)]
    assert "chain" not in made.runs(alone[1])[0].config["model"]


def test_the_reference_is_equal_weighting_or_else_the_first():
    assert plan("--weightings=upgrad,equal").reference == "equal"
    assert plan("--weightings=upgrad,mgda").reference == "upgrad"


@pytest.mark.parametrize("text", ["{data.schedule: Alternating}", "change.yaml"])
def test_variants_change_the_config(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "change.yaml").write_text("data: {schedule: Alternating}")
    made = plan(f"--variant=turns={text}", "--single_task=false")
    (run_,) = made.runs(made.contestants[0])[:1]
    assert run_.config["data"]["schedule"] == "Alternating"


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("{model.optimizer: SGD}", {}),
        ("{model: {optimizer: SGD}}", {}),
        ("{model.optimizer.class_path: SGD}", {}),
        ("change.yaml", {}),
        ("{model.optimizer: SGD, model.optimizer.lr: 0.5}", {"lr": 0.5}),
    ],
)
def test_variants_go_on_from_the_config(text, arguments, tmp_path, monkeypatch, capsys):
    """As a further file of `fit` does: nothing stays of another optimizer, and the rest of the model does."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "change.yaml").write_text("model: {optimizer: {class_path: SGD}}")
    made = plan(f"--variant=sgd={text}", "--weightings=equal", "--single_task=false")
    variant = next(contestant for contestant in made.contestants if contestant.name == "sgd")
    model = made.runs(variant)[0].config["model"]
    assert (class_path(model["optimizer"]), arguments_of(model["optimizer"])) == ("SGD", arguments)
    assert model["tasks"] == made.base["model"]["tasks"]
    said = "note: variant 'sgd': model.optimizer: SGD replaces AdamW, whose 'lr' is dropped with it\n"
    assert capsys.readouterr().err == ("" if arguments else said)


def test_a_variant_may_append_to_a_list_and_change_what_it_appended():
    made = plan(
        "--variant=a={trainer.callbacks+: LearningRateMonitor, trainer.callbacks.logging_interval: step}",
        "--single_task=false",
    )
    callbacks = made.runs(made.contestants[0])[0].config["trainer"]["callbacks"]
    assert callbacks[0] == {"class_path": "LearningRateMonitor", "init_args": {"logging_interval": "step"}}


def test_values_at_a_share_of_a_space():
    assert [Range(1.0, 100.0, log=True).at(share) for share in (0, 0.5, 1)] == pytest.approx([1, 10, 100])
    assert [Range(1.0, 3.0).at(share) for share in (0, 0.5, 1)] == [1, 2, 3]
    found = [Range(2, 9).at(share) for share in (0, 0.3, 1)]
    assert found == [2, 4, 9] and all(isinstance(value, int) for value in found)
    assert [Choice(("a", None)).at(share) for share in (0, 0.49, 0.5, 1)] == ["a", "a", None, None]


# -- configs and keys --------------------------------------------------------------------------------------------------
def test_a_run_says_all_that_decides_it():
    made = plan("--weightings=cagrad", "--seeds=3,7", "--split=val", "--trainer.max_epochs=2")
    runs = made.runs(made.contestants[0])
    assert [(r.seed, r.config["seed_everything"], r.config["data"]["seed"]) for r in runs] == [(3, 3, 3), (7, 7, 7)]
    config = runs[0].config
    assert (config["evaluate"], config["trainer"]["max_epochs"], config["model"]["weighting"]) == ("val", 2, "CAGrad")
    assert "refresh_every" not in config["model"]


def test_keys_follow_from_content_alone():
    one, same = (
        plan("--weightings=equal,upgrad"),
        plan("--weightings=upgrad", "--seeds=2", "--name=other", "--wandb=off"),
    )
    keys = {run_.key for run_ in one.all_runs()}
    assert len(keys) == len(one.all_runs())
    assert {run_.key for run_ in same.all_runs()} < keys
    assert not keys & {run_.key for run_ in plan("--weightings=equal", "--data.batch_size=8").all_runs()}


def test_the_same_method_under_two_names_is_one_run():
    made = plan("--weightings=equal", "--variant=again={model.weighting: EqualWeighting}", "--single_task=false")
    first, second = (made.runs(contestant) for contestant in made.contestants)
    assert [run_.key for run_ in first] == [run_.key for run_ in second]


def test_trials_see_no_test_data_and_no_seed_of_the_report():
    made = plan("--weightings=equal", "--tune=3", "--seeds=20")
    trial = made.trial(made.contestants[0], {"model.optimizer.lr": 0.5})
    assert trial.config["evaluate"] == "val" and trial.seed not in made.settings.seeds
    assert get_value(trial.config, "model.optimizer.lr") == 0.5


def test_fixed_weights_are_scaled_to_a_mean_of_one():
    made = plan("--weightings=equal", "--tune=1")
    tuned = next(contestant for contestant in made.contestants if contestant.name == "tuned weights")
    tried = {f"model.weighting.weights.{task}": weight for task, weight in zip(made.tasks, (1, 4, 10), strict=True)}
    weights = get_value(made.trial(tuned, tried).config, "model.weighting.weights")
    assert weights == pytest.approx({"left": 0.2, "right": 0.8, "sum": 2.0})


def test_loss_weightings_are_probed_and_others_are_left_alone():
    made = plan("--weightings=equal,upgrad,own.Weighting", "--probe=7")
    by_name = {c.label: made.runs(c)[0].config["model"].get("refresh_every") for c in made.contestants}
    single = {f"single task {task}": None for task in made.tasks}
    assert by_name == {"equal": 7, "upgrad": None, "Weighting": None, **single}


def test_options_that_have_no_meaning_for_a_family_are_left_out():
    options = ("--model.gradient_of=features", "--model.head_gradients=weighted", "--model.refresh_every=3")
    made = plan("--weightings=equal,upgrad,graddrop", "--single_task=false", "--probe=9", *options)
    kept = ("gradient_of", "head_gradients", "refresh_every")
    found = [tuple(made.runs(c)[0].config["model"].get(name) for name in kept) for c in made.contestants]
    assert found == [(None, "weighted", 9), ("features", "weighted", 3), (None, None, None)]


def test_environment_variables_are_refused(monkeypatch, capsys):
    monkeypatch.setenv("MTL_FIT__DATA__BATCH_SIZE", "8")
    assert run(["--weightings=equal"]) == 2
    assert "give MTL_FIT__DATA__BATCH_SIZE as a flag" in capsys.readouterr().err


def test_single_task_configs_keep_one_task_and_what_speaks_of_others_goes():
    config = read_config(
        [], ["--data.schedule={class_path: FixedProbabilities, init_args: {probabilities: {digits: 1}}}"]
    )
    config["model"]["weighting"] = {"class_path": "CAGrad", "init_args": {"c": 0.3}}
    cut = restricted(config, ["sum"])
    assert cut["model"]["tasks"] == {"sum": "Regression"} and cut["data"]["tasks"] == ["sum"]
    assert cut["model"]["weighting"] == "EqualWeighting" and "schedule" not in cut["data"]
    assert config["model"]["weighting"]["class_path"] == "CAGrad"


@pytest.mark.parametrize(
    ("given", "kept", "left"),
    [
        ({"groups": [["left", "right"], ["sum"]]}, ["left"], {"groups": [["left"]]}),
        ({"groups": [["left", "right"], ["sum"]]}, ["right", "sum"], {"groups": [["right"], ["sum"]]}),
        ({"order": ["left", "sum"], "transfer": False}, ["right"], {"transfer": False}),
        ({"ranks": {"left": 4, "sum": 8}}, ["sum"], {"ranks": {"sum": 8}}),
        ({"targets": ["left", "query"], "stages": [1, 2]}, ["sum"], {"targets": ["left", "query"], "stages": [1, 2]}),
    ],
    ids=["a group", "a pair", "an order of others", "by task", "other names"],
)
def test_what_a_sharing_says_of_left_out_tasks_goes(given, kept, left):
    config = read_config([], ["--model.sharing", str({"class_path": "S", "init_args": given})])
    assert restricted(config, kept)["model"]["sharing"] == {"class_path": "S", "init_args": left}
    assert config["model"]["sharing"]["init_args"] == given


def test_set_value_names_an_argument_of_a_class_that_was_given_by_name():
    config = {"model": {"weighting": "CAGrad"}}
    set_value(config, "model.weighting.c", 0.4)
    set_value(config, "trainer.callbacks+", "A")
    set_value(config, "trainer.callbacks+", "B")
    assert config["model"]["weighting"] == {"class_path": "CAGrad", "init_args": {"c": 0.4}}
    assert config["trainer"]["callbacks"] == ["A", "B"]


@pytest.mark.parametrize("named", ["equal,", "equal,,upgrad", ""])
def test_an_empty_name_of_a_weighting(named):
    with pytest.raises(UserError, match=r"weightings: a name is empty, .* without spaces, or in quotes"):
        parse([f"--weightings={named}"])


def test_a_plan_file_holds_all_options(tmp_path):
    (tmp_path / "plan.yaml").write_text(
        yaml.safe_dump(
            {
                "weightings": ["equal", "upgrad"],
                "variants": {"turns": {"data.schedule": "Alternating"}},
                "space": {"model.optimizer.lr": {"low": 1e-4, "high": 1e-2, "log": True}, "data.batch_size": [8, 16]},
                "flags": {"trainer.max_epochs": 3},
                "seeds": 3,
            }
        )
    )
    settings = parse(["--plan", str(tmp_path / "plan.yaml"), "--seeds=2", "--trainer.precision", "bf16-mixed"])
    assert settings.seeds == [0, 1]
    assert settings.flags == ["--trainer.max_epochs=3", "--trainer.precision", "bf16-mixed"]
    assert settings.space == {"model.optimizer.lr": Range(1e-4, 1e-2, log=True), "data.batch_size": Choice((8, 16))}
    assert make_plan(settings).base["trainer"] == {"max_epochs": 3, "precision": "bf16-mixed"}


# -- mistakes ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "needs contestants"),
        (["--weightings=equl"], "did you mean 'equal'?"),
        (["--weightings=fixed"], "`--tune N` adds them"),
        (["--weightings=equal", "--seeds=0"], "seeds: expected a number of seeds"),
        (["--weightings=equal", "--seeds=1,1"], "each must be named once"),
        (["--weightings=equal", "--tune=few"], "tune: expected a whole number"),
        (["--weightings=equal", "--time_limit=-1"], "time_limit: expected minutes"),
        (["--weightings=equal", "--launcher=slrm"], "did you mean 'slurm'?"),
        (["--weightings=equal", "--launcher=slurm"], "slurm: give `--time_limit MINUTES`"),
        (["--weightings=equal", "--pairs=maybe"], "pairs: expected true or false"),
        (["--variant=x"], "expected NAME=FILE"),
        (["--variant=x={a: 1}", "--variant=x={a: 2}"], "--variant x: it is given twice"),
        (["--variant=equal={a: 1}", "--weightings=equal"], "two contestants are called 'equal'"),
        (["--variant=x={model: 3}"], "variant 'x': model: expected keys and values, found 3"),
        (["--variant=x={model.tasks: 3}"], "variant 'x': model.tasks is empty"),
        (["--variant=x={1: 3}"], "variant 'x': expected a YAML file or"),
        (["--weightings=equal", "--config=nothing.yaml"], "no config file nothing.yaml"),
        (["--weightings=equal", "stray"], "unexpected argument 'stray'"),
        (["--weightings=equal upgrad"], "no weighting is called 'equal upgrad'; separate names by commas"),
        (["--weightings=equal", "--trainer.max_epochs"], "has no value"),
        (["--plan=plan.yaml"], "compare has no option 'weights'; did you mean 'weightings'?"),
        (["--weightings=equal", "--config=list.yaml"], "expected keys and values"),
        (["--weightings=equal", "--config=no_tasks.yaml"], "model.tasks is empty"),
    ],
)
def test_mistakes_are_one_line(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text("weights: [equal]")
    (tmp_path / "list.yaml").write_text("- 1")
    (tmp_path / "no_tasks.yaml").write_text("model: {}")
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and expected in error


@pytest.mark.parametrize(
    "spec",
    [{"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}, {"low": 1}, [], 3, {"low": 1, "high": 2, "by": 1}],
)
def test_a_space_that_is_none_is_refused(spec, tmp_path):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({"weightings": "equal", "space": {"x": spec}}))
    with pytest.raises(UserError, match=r"space\.x: expected a list of values or"):
        parse(["--plan", str(tmp_path / "plan.yaml")])


def test_the_plan_needs_no_heavy_import():
    code = (
        "import sys, mtl_lightning.compare.command, mtl_lightning.compare.running.show;"
        "from mtl_lightning.compare.planning.options import parse;"
        "from mtl_lightning.compare.planning.plan import make_plan;"
        "make_plan(parse(['--weightings=all', '--tune=2']));"
        "heavy = {'torch', 'lightning', 'numpy', 'scipy', 'pandas', 'optuna', 'matplotlib', 'jsonargparse'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_option(capsys):
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    options = {option.name for option in fields(Settings)} - {"flags", "variants", "space"}
    for option in options | {"variant", "plan"}:
        assert re.search(rf"--{option}\b", text), option
    assert "`space`" in text


# -- what is searched --------------------------------------------------------------------------------------------------
def searched(*arguments: str) -> dict[str, set[str]]:
    found = plan("--tune=3", "--single_task=false", *arguments).contestants
    return {contestant.label: {key.removeprefix("model.") for key in contestant.searched} for contestant in found}


def test_own_options_are_searched_where_they_are_open():
    variants = ["--variant=fixed_c={model.weighting: {class_path: CAGrad, init_args: {c: 0.4}}}"]
    variants += ["--variant=turns={data.schedule: Alternating, model.weighting: CAGrad}"]
    found = searched("--weightings=equal,cagrad", *variants)
    assert found["equal"] == found["fixed_c"] == {"optimizer.lr"}
    assert found["cagrad"] == found["turns"] == {"optimizer.lr", "weighting.c"}


def test_a_variant_is_searched_around_its_own_learning_rate():
    made = plan("--tune=3", "--weightings=equal", "--variant=slow={model.optimizer.lr: 1e-4}", "--single_task=false")
    ranges = {contestant.label: contestant.space["model.optimizer.lr"] for contestant in made.contestants}
    assert ranges["slow"].low == pytest.approx(2e-5) and ranges["equal"].low == pytest.approx(6e-4)


@pytest.mark.parametrize("rate", ["0", "null", "much"])
def test_a_search_around_no_learning_rate_is_refused(rate, capsys):
    assert run(["--weightings=equal", "--tune=2", f"--model.optimizer.lr={rate}"]) == 2
    assert "gives no model.optimizer.lr above 0" in capsys.readouterr().err


def test_uncertainty_weighting_knows_regressions():
    made = plan("--weightings=uncertainty", "--single_task=false")
    assert get_value(made.runs(made.contestants[0])[0].config, "model.weighting.regression") == ["sum"]


def test_fixed_weights_of_a_variant_are_left_as_they_are():
    weights = "{left: 2, right: 2, sum: 2}"
    variant = f"--variant=fixed={{model.weighting: {{class_path: FixedWeighting, init_args: {{weights: {weights}}}}}}}"
    made = plan(variant, "--single_task=false")
    found = get_value(made.runs(made.contestants[0])[0].config, "model.weighting.weights")
    assert found == {"left": 2, "right": 2, "sum": 2}


def test_a_class_by_name_and_one_without_arguments_are_one_run():
    variant = "--variant=same={model.weighting: {class_path: EqualWeighting, init_args: {}}}"
    made = plan("--weightings=equal", variant, "--single_task=false", "--seeds=1")
    assert len({run_.key for run_ in made.all_runs()}) == 1


def test_the_seed_of_the_search_is_not_reported(capsys):
    assert run(["--weightings=equal", "--seeds=10000,1"]) == 2
    assert "10000 is the seed of the search" in capsys.readouterr().err
