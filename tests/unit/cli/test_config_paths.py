"""``~`` and ``$VARIABLES`` in every path of a configuration, and on the command line."""

from pathlib import Path
from typing import Any

import pytest
from jsonargparse import Namespace

from mtl_lightning.__main__ import main
from mtl_lightning.cli.config_paths import expand_paths
from mtl_lightning.cli.configuration.given import given
from mtl_lightning.cli.configuration.plain_yaml import read_yaml
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.data import FileSource
from mtl_lightning.errors import UserError
from mtl_lightning.paths import expanded


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NONE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("~/a", "HOME/a"),
        ("~", "HOME"),
        ("$DATA/a", "/data/a"),
        ("x/${DATA}", "x//data"),
        ("~/$DATA", "HOME//data"),
        ("${DATA:-other}/a", "/data/a"),
        ("${NONE:-other}/a", "other/a"),
        ("${EMPTY:-other}/a", "other/a"),
        ("${EMPTY}/a", "/a"),
        ("${NONE:-}a", "a"),
        ("${NONE:-~/other}/a", "HOME/other/a"),
        ("${NONE:-other}/${DATA:-x}/$DATA", "other//data//data"),
        ("a~", "a~"),
        ("5$", "5$"),
        ("org/name", "org/name"),
        ("", ""),
    ],
)
def test_paths_are_read_as_a_shell_would(home: Path, path: str, wanted: str) -> None:
    assert expanded(path) == wanted.replace("HOME", str(home))


def test_a_file_of_that_name_is_itself(home: Path) -> None:
    (home / "$NONE").touch()
    assert expanded("$NONE") == "$NONE"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$NONE/a", r"here: no environment variable NONE is set, for '\$NONE/a'; set it, or write the path out"),
        ("${NONE}", "no environment variable NONE is set"),
        ("${NONE-other}", "no environment variable NONE-other is set"),
        ("${DATA:-other}/${NONE}", "no environment variable NONE is set"),
        ("~nobody-here/a", "here: no home folder is known for '~nobody-here'; write the path out"),
    ],
)
def test_what_means_nothing_is_refused(path: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        expanded(path, "here")


def of(**arguments: Any) -> Namespace:
    """A class with its arguments."""
    return Namespace(class_path="a.$B", init_args=Namespace(**arguments))


def test_all_paths_of_a_configuration_are_expanded() -> None:
    source = of(
        files={"train": "$DATA/a", "val": "b"},
        root="$DATA",
        label_maps={"t": "$DATA/m", "u": {"a": ["$D"]}},
        inputs={"file": "$price"},
        labels={"input": "$cost"},
    )
    encoder = of(tokenizer="$DATA/t", model="$DATA/m", config={"a": "$NO"})
    config = Namespace(
        ckpt_path="$DATA/x.ckpt",
        json="$DATA/m.json",
        name="$NOT_A_PATH",
        trainer=Namespace(default_root_dir="$DATA/runs", logger=[of(save_dir="$DATA")]),
        model=Namespace(encoder=encoder, gradient_of="$x"),
        data=Namespace(datasets={"d": source}),
        extra=Path("$DATA/p"),
        folder=Path("$DATA/p"),
    )
    expand_paths(Namespace(fit=config))
    assert (config.ckpt_path, config.json, config.name) == ("/data/x.ckpt", "/data/m.json", "$NOT_A_PATH")
    assert (config.extra, config.folder) == (Path("$DATA/p"), Path("/data/p"))
    assert config.trainer == Namespace(default_root_dir="/data/runs", logger=[of(save_dir="/data")])
    assert encoder == of(tokenizer="/data/t", model="/data/m", config={"a": "$NO"})
    assert config.model.gradient_of == "$x"
    assert source == of(
        files={"train": "/data/a", "val": "b"},
        root="/data",
        label_maps={"t": "/data/m", "u": {"a": ["$D"]}},
        inputs={"file": "$price"},
        labels={"input": "$cost"},
    )


def test_messages_name_the_key() -> None:
    config = Namespace(data=Namespace(datasets={"d": of(files={"train": "$NONE"})}))
    with pytest.raises(UserError, match=r"^data\.datasets\.d\.files\.train: no environment variable NONE"):
        expand_paths(Namespace(fit=config))


def test_files_of_the_command_line(home: Path) -> None:
    options = ["--config", "~/a.yaml", "--config=$DATA/b.yaml", "-c", "~/c", "--name", "~"]
    found = given("fit", options, {"MTL_FIT__CONFIG": "~/e"})
    assert found.files == (f"{home}/e", f"{home}/a.yaml", "/data/b.yaml", f"{home}/c")
    assert found.flags == (("name", "~"),)


def test_a_command_says_which_variable_is_not_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", "$NONE/a.yaml"]) == 2
    assert capsys.readouterr().err.startswith(
        "error: --config: no environment variable NONE is set, for '$NONE/a.yaml'"
    )
    assert main(["fit", "--trainer.default_root_dir", "$NONE/a"]) == 2
    assert "error: flag --trainer.default_root_dir: no environment variable NONE is set" in capsys.readouterr().err


def test_sources_in_python_do_the_same(home: Path) -> None:
    maps: dict[str, Any] = {"x": "m.json"}
    source = FileSource({"train": "$DATA/a.csv"}, {"text": "text"}, {"x": "x"}, root="~", label_maps=maps)
    assert (source.root, source.files) == (str(home), {"train": "/data/a.csv"})
    assert source.label_maps == {"x": f"{home}/m.json"}


def test_compare_reads_paths_alike(home: Path) -> None:
    (home / "a.yaml").write_text("name: x")
    assert read_yaml("~/a.yaml") == {"name": "x"}
    assert parse(["--weightings", "equal", "--output", "$DATA/o"]).output == Path("/data/o")
