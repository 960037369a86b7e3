"""What is said of encoded tables."""

from pathlib import Path
from typing import Any

import pytest
import tiny

from mtl_lightning.data import findings


def test_inputs_that_are_not_looked_up_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation images would be held a hundred thousand at a time."""

    def read(*arguments: Any) -> None:
        raise AssertionError("nothing there can be unknown")

    monkeypatch.setattr(findings, "read_rows", read)
    tiny.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert tiny.fit("whole", "--trainer.max_epochs=1") == 0
