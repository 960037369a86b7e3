"""Tests read a configuration with parsers that are built once, and find in it what users find."""

from pathlib import Path
from typing import Any

import lean_parsers
import pytest
import tiny
from jsonargparse import Namespace, _core, _subcommands, _util
from lightning.pytorch.cli import LightningCLI

OTHERS = ["--model.weighting=UPGrad", "--model.optimizer.lr=0.5", "--data.schedule=Alternating", "--data.batch_size=3"]


def found(folder: str, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[str, str]:
    """What a run comes to and, of one with a misspelt option, what it is told."""
    assert tiny.fit(folder, "--trainer.max_steps=0", "--evaluate=none", *options) == 0
    capsys.readouterr()
    assert tiny.fit(folder, "--model.wieghting=UPGrad") == 2
    return Path(folder, "config.yaml").read_text().replace(folder, ""), capsys.readouterr().err


def test_a_parser_that_was_used_reads_as_a_new_one(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    assert found("folder-1", capsys, *OTHERS) != (used := found("folder-2", capsys))
    with monkeypatch.context() as patched:
        patched.setattr(LightningCLI, "setup_parser", lean_parsers._build)
        patched.setattr(_util, "get_import_path", lean_parsers._path_of)
        for module in (_core, _subcommands):
            patched.setattr(module, "find_action_and_subcommand", lean_parsers._find_among_all)
        patched.setattr(Namespace, "_parse_key", lean_parsers._parse_any_key)
        assert found("folder-3", capsys) == used


@pytest.mark.parametrize("key", ["a", "values", "a.b", "none.c", "class", "a b", "", "a..b", 3, None])
def test_a_key_is_read_as_ever(key: Any) -> None:
    def read(parse: Any) -> Any:
        try:
            return parse(Namespace(a=Namespace(b=1)), key)
        except KeyError as error:
            return str(error)

    assert read(Namespace._parse_key) == read(lean_parsers._parse_any_key)
