"""``--KEY.help CLASS`` works wherever a class may stand, in every form that help itself offers."""

import re
from inspect import isabstract, signature

import pytest

from experiments.benchmark.sharings import exported
from mtl_lightning import __main__ as front
from mtl_lightning import tasks
from mtl_lightning.cli.class_help import class_help, classes_for
from mtl_lightning.errors import UserError


@pytest.mark.parametrize(
    ("key", "name", "option"),
    [
        ("model.encoder", "TransformerEncoder", "max_length"),
        ("model.encoder", "mtl_lightning.encoders.PerceptronEncoder", "hidden"),
        ("model.tasks", "Regression", "std"),
        ("model.tasks.NAME", "SequenceClassification", "labels"),
        ("model.tasks.intent", "TokenClassification", "scheme"),
        ("model.weighting", "UPGrad", "preferences"),
        ("model.inner_loop", "Reptile", "steps"),
        ("model.optimizer", "SGD", "momentum"),
        ("model.lr_scheduler", "WarmupDecay", "warmup"),
        ("data.datasets", "HubSource", "inputs"),
        ("data.datasets.NAME", "FileSource", "files"),
        ("data.datasets.a-set.split", "FractionSplit", "seed"),
        ("data.datasets.split", "FileSource", "files"),  # a data set of that name
        ("data.datasets.split", "ColumnSplit", "column"),
        ("data.datasets.NAME.streaming", None, "buffer"),
        ("data.schedule", "Temperature", "alpha"),
        ("trainer.callbacks", "EarlyStopping", "patience"),
        ("trainer.callbacks", "TaskConflicts", "every_n_epochs"),
        ("trainer.strategy.precision_plugin", "MixedPrecision", "scaler"),
    ],
)
@pytest.mark.parametrize("form", ["two words", "one word"])
def test_arguments_of_a_class(key: str, name: str | None, option: str, form: str) -> None:
    given = [f"--{key}.help", *([name] if name else [])] if form == "two words" else [f"--{key}.help={name or ''}"]
    text = class_help(["fit", "--config", "none.yaml", *given, "--data.batch_size", "4"])
    assert text is not None
    assert re.search(rf"--{re.escape(f'{key}.{option}')}[ ,]", text)  # Python 3.13 names the value once, at the end


def test_what_the_command_gives_is_no_option() -> None:
    texts = [class_help(["fit", f"--model.{key}.help"]) for key in ("optimizer=AdamW", "lr_scheduler=WarmupDecay")]
    assert texts == [None, None]
    given = {"model.optimizer.help": "AdamW", "model.weighting.help": "UPGrad", "model.sharing.help": "HardSharing"}
    for key, name in given.items():
        text = class_help(["fit", f"--{key}", name])
        assert text is not None
        assert not re.search(r"\.(params|tasks|features)[ ,]", text)
    assert text is not None
    assert "It takes no arguments." in text


def test_the_markup_of_the_site_is_not_printed() -> None:
    text = class_help(["fit", "--model.weighting.help", "UPGrad"])
    assert text is not None
    assert "see solvers.project_on_dual_cone" in " ".join(text.split())
    assert ":math:" not in text and ":func:" not in text


def test_every_sharing_shows_its_own_options() -> None:
    for name, cls in exported().items():
        text = class_help(["fit", "--model.sharing.help", name])
        assert text is not None
        shown = set(re.findall(r"--model\.sharing\.(\w+)", text))
        assert shown == signature(cls).parameters.keys() - {"tasks", "encoder"}, name


def test_the_sharings_that_it_names_are_those_that_are_exported() -> None:
    named = classes_for("model.sharing")
    ours = {name: cls for name, cls in named.items() if cls.__module__.startswith("mtl_lightning.")}
    assert ours == exported()


def test_without_a_class_it_names_them() -> None:
    text = class_help(["fit", "--data.datasets.NAME.help", "--seed_everything", "3"])
    assert text is not None
    assert {"DigitPairs", "FileSource", "HubSource"} <= set(re.findall(r"^  (\w+)$", text, re.MULTILINE))


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_every_form_that_help_offers(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        front.main([command, "--help_all"])
    offered = set(re.findall(r"--([\w.]+)\.help", capsys.readouterr().out + front.command_help(command)))
    assert {"model.encoder", "data.datasets", "data.datasets.NAME", "trainer.callbacks"} <= offered
    for key in offered:
        text = class_help([command, f"--{key}.help"])
        assert text is not None
        for nested in re.findall(r"--([\w.]+)\.help", text):
            assert class_help([command, f"--{nested}.help"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model.encoder.help", "TransformrEncoder"],
            "no class 'TransformrEncoder'; did you mean 'TransformerEncoder'?",
        ),
        (["--model.encoder.help", "none.Such"], "No module named 'none'"),
        (["--model.encoder.help", "mtl_lightning.encoders.Such"], "has no attribute 'Such'"),
        (["--model.encoder.help", "mtl_lightning.encoders.character_tokenizer"], "is not a class"),
        (["--model.max_skipped.help"], "`model.max_skipped` takes no class"),
        (["--trainer.help"], "`trainer` takes no class"),
        (["--modle.encoder.help", "UPGrad"], "`modle.encoder` takes no class"),
    ],
)
def test_what_cannot_be_helped(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        class_help(["fit", *arguments])
    assert str(raised.value).startswith(arguments[0])
    assert message in str(raised.value)


def test_other_commands_go_on() -> None:
    assert class_help(["fit", "--model.encoder", "PerceptronEncoder", "--help_all"]) is None


def test_the_light_help_names_all_tasks() -> None:
    classes = [each for each in vars(tasks).values() if isinstance(each, type) and issubclass(each, tasks.Task)]
    known = {each.__name__ for each in classes if not isabstract(each)}
    assert known <= set(re.findall(r"\w+", front.command_help("fit")))
