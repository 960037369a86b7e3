"""What a comparison or a run has left is read again: broken, it is one line that says what to remove."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mtl_lightning.checkpoints.best import best_of
from mtl_lightning.compare.running.store import RESULT, Store, read_json
from mtl_lightning.errors import UserError

BROKEN = [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"{'a': 1}", b"\0"]


@pytest.mark.parametrize("content", BROKEN, ids=repr)
def test_a_record_that_is_broken_is_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(UserError, match=r"record\.json is broken \(.*\); remove it"):
        read_json(tmp_path / "record.json")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.json").write_bytes(content)
    with pytest.raises(UserError, match=r"best\.json is broken; name the checkpoint itself"):
        best_of(tmp_path)


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "nowhere.json") is None


@pytest.mark.parametrize("content", ["[1]", "3", "{}", '{"status": 3}', '{"status": "finished", "scores": [1]}'])
def test_a_result_that_is_none_is_said(content: str, tmp_path: Path) -> None:
    run: Any = SimpleNamespace(key="abc", name="equal-abc")
    folder = tmp_path / "runs" / "equal-abc"
    folder.mkdir(parents=True)
    (folder / RESULT).write_text(content)
    with pytest.raises(UserError, match=r"result\.json is broken: it is no result of a run"):
        Store(tmp_path).result(run)
