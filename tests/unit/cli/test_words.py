"""Words of YAML stay words where a text is meant, and are booleans and numbers where these are."""

from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from jsonargparse import Namespace

from mtl_lightning.__main__ import main
from mtl_lightning.cli.configuration.given import as_text, as_value
from mtl_lightning.cli.configuration.plain_yaml import read_yaml
from mtl_lightning.cli.parser import WORDS, Parser
from mtl_lightning.data.sources.label_maps import Renaming, read_label_map
from mtl_lightning.demo import DEMO

CONFIG = """\
labels: [no, yes, on, 007, 1:30, 2024-01-01, true, 7]
weights: {no: 1, yes: 2e-1}
flag: yes
other: off
wandb: off
either: no
any: {a: no, b: 1e-3}
rate: 1e-4
count: 1_000
"""
FOUND: dict[str, Any] = {
    "weights": {"no": 1.0, "yes": 0.2},
    "flag": True,
    "other": False,
    "wandb": "off",
    "either": False,
    "any": {"a": False, "b": 0.001},
    "rate": 0.0001,
    "count": 1000,
}


def parser() -> Parser:
    parser = Parser(parser_mode=WORDS, exit_on_error=False)
    parser.add_argument("--labels", type=list[str | int | bool])
    parser.add_argument("--weights", type=dict[str, float])
    parser.add_argument("--flag", type=bool)
    parser.add_argument("--other", type=bool | None)
    parser.add_argument("--wandb", type=Literal["auto", "off"])
    parser.add_argument("--either", type=bool | Literal["warn"] | None)
    parser.add_argument("--any", type=dict[str, Any])
    parser.add_argument("--rate", type=float)
    parser.add_argument("--count", type=int)
    return parser


def test_types_decide_what_a_word_means() -> None:
    found = parser().parse_string(CONFIG).as_dict()
    assert found.pop("labels")[:6] == ["no", "yes", "on", "007", "1:30", "2024-01-01"]
    assert found == FOUND


def test_flags_are_read_alike() -> None:
    flags = [f"--{line.replace(': ', '=', 1)}" for line in CONFIG.splitlines()[1:]]
    found = parser().parse_args(["--labels=[no, on, 007]", *flags]).as_dict()
    assert found == {"labels": ["no", "on", "007"], **FOUND}


def test_a_dash_is_standard_input() -> None:
    assert as_text("input", "-") == as_value("input", "-") == "-"
    assert as_text("labels", "- a") == ["a"]


def test_what_is_saved_is_read_back() -> None:
    found = parser().parse_string(CONFIG)
    assert parser().parse_string(parser().dump(found)) == found


def test_compare_reads_words_alike(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CONFIG)
    config = parser().parse_object(Namespace(**read_yaml(str(tmp_path / "a.yaml")))).as_dict()
    assert config == parser().parse_string(CONFIG).as_dict()


def test_label_maps_hold_words(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("no: [off, 0, 007]\nyes: [on, 1.0, null]\n")
    rename = Renaming(read_label_map(tmp_path / "a.yaml", "label_maps.x"), "label_maps.x")
    assert rename.names == {"off": "no", "0": "no", "007": "no", "on": "yes", "1.0": "yes", "null": "yes"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {lr_scheduler: None}", "'None' is not a class; for none, write null: --model.lr_scheduler=null"),
        (
            "data: {max_tokens: None}",
            "'data.max_tokens': expected int or null, found None; Python's None is null here",
        ),
    ],
)
def test_none_of_a_file_is_a_word(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert main(["fit", "--config", str(DEMO), "--config", str(tmp_path / "a.yaml")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/a.yaml, line 1: {message}\n"


def test_none_of_a_flag_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    """Sweeps write it so."""
    with pytest.raises(SystemExit):
        main(["fit", "--model.lr_scheduler=None", "--data.max_tokens", "None", "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["lr_scheduler"] is None and config["data"]["max_tokens"] is None
