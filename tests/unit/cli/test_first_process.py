"""The first process of a run is gone: one of those that it has started says so."""

import os

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment

from mtl_lightning.__main__ import main
from mtl_lightning.cli.launcher import Launcher


@pytest.mark.parametrize("rank", [1, 2])
def test_the_second_process_says_how_to_resume(rank, monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    launcher = Launcher(LightningEnvironment(), 3, 1)
    launcher.hints = lambda: ["resume with --ckpt_path last.ckpt"]
    launcher._first_is_gone()
    assert ended == [1]
    line = "error: the first process of this run has died; resume with --ckpt_path last.ckpt\n"
    assert capsys.readouterr().err == (line if rank == 1 else "")


def test_torch_prints_no_stack_of_its_own_unless_it_is_asked_to(monkeypatch, capsys):
    for given, found in [(None, "ERROR"), ("INFO", "INFO")]:
        monkeypatch.delenv("TORCH_CPP_LOG_LEVEL", raising=False)
        if given:
            monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", given)
        main(["--version"])
        assert os.environ["TORCH_CPP_LOG_LEVEL"] == found
