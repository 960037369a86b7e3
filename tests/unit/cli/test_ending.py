"""What a command says last, when it ends before its end."""

import pytest

from mtl_lightning.cli.ending import Ending
from mtl_lightning.errors import UserError


@pytest.mark.parametrize("line", ["the disk is full", "the disk is full; then resume with --ckpt_path {path}"])
def test_how_to_resume_is_said_once(line, tmp_path, capsys):
    ending, path = Ending(), tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    ending.run_in(tmp_path, requeues=False)
    path.touch()
    error = UserError(line.format(path=path))
    ending.of_error(error, str(error))
    assert capsys.readouterr().err.count(f"resume with --ckpt_path {path}") == 1
