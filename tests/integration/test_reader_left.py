"""Commands whose reader leaves, as in `predict ... | head`, end as other programs do: quietly, and nothing is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from mtl_lightning.__main__ import main

LEFT = "import sys; from mtl_lightning.__main__ import main; sys.exit(main(sys.argv[1:]))"


def without_a_reader(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit status of a command in this process, whose standard output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1) as output:
        monkeypatch.setattr(sys, "stdout", output)
        return main(list(arguments))


def test_a_reader_that_leaves_is_no_mistake(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path)
    with monkeypatch.context() as patched:
        assert tiny.fit("run", "--evaluate=none") == 0
        assert without_a_reader(patched, "predict", "--ckpt_path=run", "--input=val.jsonl") == 141
        assert without_a_reader(patched, "test", "--ckpt_path=run", "--json=scores.json") == 141
        assert without_a_reader(patched, "fit", "--config=config.yaml", "--print_config") == 141
    assert not [line for line in capfd.readouterr().err.splitlines() if "rror" in line]
    assert Path("scores.json").exists()


def test_help_without_a_reader_is_quiet_too():
    program = [sys.executable, "-c", LEFT, "--help"]
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (found.returncode, found.stderr) == (141, "")
