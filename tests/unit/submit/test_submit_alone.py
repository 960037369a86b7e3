"""One submission at a time looks into a folder; another one waits, but not forever."""

from pathlib import Path

import pytest
from filelock import FileLock

from mtl_lightning.errors import UserError
from mtl_lightning.submit import command


def test_a_submission_that_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "_PATIENCE", 0.01)
    said = r"another `submit` has not ended .* end the process that holds .*\.submitting"
    held, refused = FileLock(tmp_path / ".submitting"), pytest.raises(UserError, match=said)
    with held, refused, command._alone(tmp_path, ()):
        pytest.fail("it was submitted twice")
    with command._alone(tmp_path, ()):
        assert (tmp_path / ".submitting").exists()
    assert not (tmp_path / ".submitting").exists()
