"""The light help names only what the real parser knows."""

import re

import pytest

from mtl_lightning import __main__ as front


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_every_option_of_the_light_help_exists(capsys, command):
    with pytest.raises(SystemExit) as ending:
        front.main([command, "--help_all"])
    assert ending.value.code == 0
    known = set(re.findall(r"--([\w.]+)", capsys.readouterr().out))
    named = re.findall(r"^  --([a-z_.]+[a-z_])", front.command_help(command), re.MULTILINE)
    assert len(named) > 10
    for option in named:
        assert option in known, option


@pytest.mark.parametrize("arguments", [["--help"], [], ["fit", "--help"], ["--version"]], ids=" ".join)
def test_help_ends_well(capsys, arguments):
    assert front.main(arguments) == 0
    assert "mtl-lightning" in capsys.readouterr().out
