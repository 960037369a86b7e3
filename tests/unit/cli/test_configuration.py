"""What files, environment variables and flags come to."""

from inspect import signature

import pytest
import yaml

from mtl_lightning.cli.configuration.given import as_text, as_value, given
from mtl_lightning.cli.configuration.merge import DEFAULT_CLASSES, Merge
from mtl_lightning.cli.configuration.plain_yaml import parse_value, read_yaml
from mtl_lightning.cli.configuration.resolve import resolve
from mtl_lightning.cli.configuration.specs import refuse_odd_classes
from mtl_lightning.cli.configuration.variables import without_effect
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.errors import UserError
from mtl_lightning.training.module import MultiTaskModule

BASE = """
name: a
model:
  encoder: {class_path: Perceptron, init_args: {hidden: [8], dropout: 0.1}}
  tasks: {cls: SequenceClassification, reg: {class_path: Regression, init_args: {dropout: 0.5}}}
  optimizer: {class_path: AdamW, init_args: {lr: 0.1, eps: 1.0}}
data:
  datasets: {d: {class_path: FileSource, init_args: {labels: {cls: x, reg: y}, root: here}}}
  batch_size: 8
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Resolves files (given as texts, or as what YAML makes of them), flags and variables."""
    monkeypatch.chdir(tmp_path)

    def resolved(*files, flags=(), environment=None, kind=as_value):
        for number, text in enumerate([BASE, *files]):
            (tmp_path / f"{number}.yaml").write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        options = [f"--config={number}.yaml" for number in range(len(files) + 1)]
        return resolve(given("fit", [*flags, *options], environment or {}), kind)

    return resolved


# -- one rule ----------------------------------------------------------------------------------------------------------
def test_a_second_file_adds_tasks_data_sets_and_labels(read):
    labels = {"init_args": {"labels": {"len": "n"}}}
    more = {"model": {"tasks": {"len": "Regression"}}, "data": {"datasets": {"d": labels, "e": "Digits"}}}
    config, lost = read(more)
    assert list(config["model"]["tasks"]) == ["cls", "reg", "len"]
    assert config["data"]["datasets"]["d"]["init_args"] == {
        "labels": {"cls": "x", "reg": "y", "len": "n"},
        "root": "here",
    }
    assert config["data"]["datasets"]["e"] == "Digits" and not lost


@pytest.mark.parametrize(
    ("files", "flags"),
    [
        (["model: {tasks: {reg: null}}\ndata: {datasets: {d: {labels: {reg: null}}}}"], []),
        ([], ["--model.tasks.reg=null", "--data.datasets.d.labels.reg", "null"]),
        (["model: {tasks: {reg: null}}"], ["--data.datasets.d.init_args.labels", "{reg: null}"]),
    ],
    ids=["file", "flags", "both"],
)
def test_null_removes_what_the_user_named(read, files, flags):
    config, _ = read(*files, flags=flags)
    assert list(config["model"]["tasks"]) == ["cls"]
    assert config["data"]["datasets"]["d"]["init_args"]["labels"] == {"cls": "x"}


def test_null_is_a_value_of_a_parameter(read):
    config, _ = read("model: {lr_scheduler: null}\ndata: {datasets: {d: {root: null}}}")
    assert config["model"]["lr_scheduler"] is None and config["data"]["datasets"]["d"]["init_args"]["root"] is None


def test_what_was_removed_may_come_again(read):
    config, _ = read("model.tasks: {reg: null}", "model.tasks: {reg: Regression}")
    assert config["model"]["tasks"]["reg"] == "Regression"


@pytest.mark.parametrize("place", ["file", "flag"])
def test_nothing_to_remove(read, place):
    with pytest.raises(UserError, match=r"model.tasks.rge: expected a class, found null.*did you mean 'reg'"):
        read("model.tasks: {rge: null}") if place == "file" else read(flags=["--model.tasks.rge", "null"])


def test_the_same_class_keeps_its_arguments(read):
    config, lost = read("model: {optimizer: AdamW}", "model: {optimizer: {class_path: torch.optim.AdamW}}")
    assert config["model"]["optimizer"]["init_args"] == {"lr": 0.1, "eps": 1.0} and not lost


@pytest.mark.parametrize(
    ("files", "flags", "arguments", "said"),
    [
        (["model: {optimizer: SGD}"], [], {}, "'lr', 'eps' are"),
        (["model: {optimizer: {class_path: SGD, init_args: {lr: 0.5}}}"], [], {"lr": 0.5}, "'eps' is"),
        ([], ["--model.optimizer.lr=0.5", "--model.optimizer=SGD"], {"lr": 0.5}, "'eps' is"),
        ([], ["--model.optimizer.lr=0.5", "--model.optimizer.class_path", "SGD"], {"lr": 0.5}, "'eps' is"),
        (["model: {optimizer: SGD}"], ["--model.optimizer.lr=2"], {"lr": 2}, "'eps' is"),
        (["model: {optimizer: SGD}", "model: {optimizer: {lr: 3}}"], [], {"lr": 3}, "'eps' is"),
    ],
    ids=["file", "file with argument", "flags", "class path", "later flag", "later file"],
)
def test_nothing_stays_of_another_class(read, files, flags, arguments, said):
    config, lost = read(*files, flags=flags)
    optimizer = config["model"]["optimizer"]
    assert (optimizer if arguments else {}) == ({"class_path": "SGD", "init_args": arguments} if arguments else {})
    assert lost == [f"model.optimizer: SGD replaces AdamW, whose {said} dropped with it"]


def test_arguments_of_the_class_that_is_there_by_default():
    merge = Merge({"data": {"schedule": {"epoch_length": 5}}})
    merge.put("data.schedule", "Temperature")
    assert merge.config["data"]["schedule"] == "Temperature"
    assert [item.old for item in merge.lost()] == ["RoundRobin"]


@pytest.mark.parametrize("path", DEFAULT_CLASSES, ids=".".join)
def test_the_defaults_are_those_of_module_and_data(path):
    owner = {"model": MultiTaskModule, "data": MultiTaskDataModule}[path[0]]
    default = signature(owner).parameters[path[1]].default
    name = default.__name__ if isinstance(default, type) else type(default).__name__
    assert name.endswith(DEFAULT_CLASSES[path])


def test_lists_are_replaced_or_appended_to(read):
    config, _ = read(flags=["--model.encoder.hidden=[4]", "--trainer.callbacks+=A", "--trainer.callbacks+=B"])
    assert config["model"]["encoder"]["init_args"]["hidden"] == [4] and config["trainer"]["callbacks"] == ["A", "B"]


# -- order -------------------------------------------------------------------------------------------------------------
def test_flags_then_variables_then_files(read):
    variables = {"MTL_FIT__DATA__BATCH_SIZE": "16", "MTL_FIT__NAME": "v", "MTL_TEST__NAME": "w", "MTL_FIT__PROJECT": ""}
    config, _ = read("data: {batch_size: 9}", flags=["--name", "f"], environment=variables)
    assert (config["data"]["batch_size"], config["name"], "project" in config) == (16, "f", False)


def test_variables_know_the_names_of_the_user(read):
    names = {"MTL_FIT__MODEL__TASKS__REG__DROPOUT": "0.3", "MTL_FIT__MODEL__LR_SCHEDULER__T_max": "5"}
    config, _ = read("model: {tasks: {Reg: Regression, reg: null}}", environment=names)
    assert config["model"]["tasks"]["Reg"] == {"class_path": "Regression", "init_args": {"dropout": 0.3}}
    assert config["model"]["lr_scheduler"] == {"T_max": 5}


@pytest.mark.parametrize(
    ("file", "variables", "flags", "expected"),
    [
        ("project: p", {"WANDB_PROJECT": "team"}, [], ("team", None)),
        ("project: p", {"WANDB_PROJECT": "team", "MTL_FIT__PROJECT": "ours"}, [], ("ours", None)),
        ("project: p", {"WANDB_PROJECT": "team"}, ["--project=f"], ("f", None)),
        ("wandb: online", {"WANDB_MODE": "offline"}, [], (None, "offline")),
        ("wandb: 'off'", {"WANDB_MODE": "offline"}, [], (None, "off")),
        ("wandb: offline", {"WANDB_MODE": "disabled"}, [], (None, "off")),
        ("wandb: offline", {"WANDB_MODE": "of"}, [], (None, "of")),
        ("wandb: offline", {"WANDB_DISABLED": "true"}, [], (None, "off")),
        ("wandb: offline", {"WANDB_MODE": "disabled"}, ["--wandb=offline"], (None, "offline")),
    ],
)
def test_variables_of_weights_and_biases(read, file, variables, flags, expected):
    config, _ = read(file, environment=variables, flags=flags)
    assert (config.get("project"), config.get("wandb")) == expected


def test_a_variable_that_is_no_setting_is_said():
    variables = dict.fromkeys(
        ["MTL_DATA__BATCH_SIZE", "MTL_FIT__NAME", "MTL_FIT__", "MTL_TEST__NAME", "MTL_TRACEBACK"], "1"
    )
    line, empty = without_effect("fit", ("fit", "test"), variables)
    assert line == "environment variable MTL_DATA__BATCH_SIZE has no effect; settings are called MTL_FIT__<KEY>"
    assert empty.startswith("environment variable MTL_FIT__ has no effect")
    assert not given("fit", [], {"MTL_FIT__": "1", "MTL_FIT____X": "1"}).variables


# -- odd command lines -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "value"),
    [("None", None), ("null", None), ("5", "5"), ("off", "off"), ("[1, a]", [1, "a"]), ("{a: 2}", {"a": 2}), ("", "")],
)
def test_words_stay_words_for_a_parser_that_knows_types(text, value):
    assert as_text("data.x", text) == value
    assert as_text("name", text) == text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["stray"], "unexpected argument 'stray'"),
        (["mine.yaml"], "unexpected argument 'mine.yaml'; did you mean `--config mine.yaml`"),
        (["-x"], "unexpected argument '-x'"),
        (["--"], "unexpected argument '--'"),
        (["--=3"], "unexpected argument '--=3'"),
        (["--model..x=3"], "unexpected argument '--model..x=3'"),
        (["--name"], "flag --name has no value"),
        (["--tensorboard", "--name", "x"], "flag --tensorboard has no value"),
        (["--config="], "flag --config= has no value"),
        (["--tasks=a", "--tasks", "b"], "--tasks is given twice; name all tasks at once"),
    ],
)
def test_what_is_no_flag(options, expected):
    with pytest.raises(UserError, match=expected.replace("-", "[-]").replace("..", "[.][.]")):
        given("fit", options, {})


@pytest.mark.parametrize("flags", [["--model=5"], ["--checkpoint=null"], ["--data=[1]"]])
def test_a_section_holds_keys(read, flags):
    with pytest.raises(UserError, match="expected keys and values"):
        read(flags=flags)


def test_a_section_with_nothing_below_changes_nothing(read):
    assert read("model:\ntrainer:\n")[0]["model"] == read()[0]["model"]


def test_a_section_may_be_a_file_beside_it(read, tmp_path):
    (tmp_path / "trainer.yaml").write_text("max_epochs: 3")
    assert read("trainer: trainer.yaml")[0]["trainer"] == {"max_epochs": 3}
    assert read(flags=["--trainer", "trainer.yaml"])[0]["trainer"] == {"max_epochs": 3}


def test_files_of_the_environment_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("name: a\nproject: a")
    (tmp_path / "b.yaml").write_text("name: b")
    for files in ("a.yaml", "[a.yaml]"):
        config, _ = resolve(given("fit", ["--config", "b.yaml"], {"MTL_FIT__CONFIG": files}), as_text)
        assert (config["name"], config["project"]) == ("b", "a")


# -- files -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "file.yaml: the key 'a' is given twice, in lines 1 and 3; keep one of them"),
        ("a:\n  b: {c: 1,\n    c: 2}\n", "the key 'a.b.c' is given twice, in lines 2 and 3"),
        ("a:\n- b: 1\n  b: 2\n", "the key 'a.0.b' is given twice, in lines 2 and 3"),
        ("", "expected keys and values, found nothing: the file is empty"),
        ("# all commented out\n", "found nothing: the file is empty"),
        ("- a\n", "expected keys and values, found list"),
        ("a", "expected keys and values, found str"),
        ("a:\n\tb: 1\n", "file.yaml, line 2: not valid YAML"),
        ("a: 1\n---\nb: 1\n", "file.yaml, line 2: not valid YAML"),
        (b"a: \xe9", "is not a text file in UTF-8"),
    ],
)
def test_what_is_no_configuration(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as raised:
        read_yaml("file.yaml")
    assert expected in str(raised.value)


def test_folders_and_files_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "config.yaml").write_text("a: 1")
    for name, expected in (("runs", "is a folder; it holds config.yaml"), ("runs/confg.yaml", "mean 'config.yaml'")):
        with pytest.raises(UserError, match=expected):
            read_yaml(name)


def test_what_is_twice_on_purpose(tmp_path):
    text = "\ufeffx: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: [*x, *x]\nw: {<<: *x, a: 4}\n"
    (tmp_path / "a.yaml").write_text(text)
    found = read_yaml(str(tmp_path / "a.yaml"))
    assert (found["y"], found["w"]) == ({"a": 1, "b": 3}, {"a": 4, "b": 2})


def test_a_key_twice_in_a_flag():
    with pytest.raises(UserError, match="the key 'a' is given twice; keep one"):
        parse_value("{a: 1, a: 2}")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"class_path": "SGD", "lr": 0.1},
            "'lr' is next to `class_path`; put it under `init_args`",
        ),
        ({"class_path": None}, "`class_path` must be a word, found None"),
        ({"class_path": "SGD", "init_args": 5}, "`init_args` must hold keys and values, found 5"),
    ],
)
def test_what_is_no_class(spec, expected):
    with pytest.raises(UserError) as raised:
        refuse_odd_classes({"name": "a", "model": {"optimizer": spec}})
    assert str(raised.value) == f"model.optimizer: {expected}"
    refuse_odd_classes({"trainer": {"callbacks": [{"class_path": "A", "init_args": None}, "B"]}})
