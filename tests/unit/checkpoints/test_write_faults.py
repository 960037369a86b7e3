"""A writer that is killed, or whose disk fails, anywhere in the file: what was there before can be loaded."""

import errno
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl_lightning.checkpoints import AtomicCheckpointIO
from mtl_lightning.writing import CannotWriteError

TRIALS = 34
"""Of each fault, over the whole length of the file; the last one is when all is written, but not yet flushed."""


def checkpoint(number: int) -> dict[str, Any]:
    whole = {"mtl_lightning": {"tasks": {}, "assets": {"files": {}, "init_args": {}}}}
    return {**whole, "state_dict": {str(i): torch.full((500,), float(number)) for i in range(8)}, "number": number}


class Failing(io.FileIO):
    """A file that fails once so many bytes are written, or as it is flushed."""

    room: int
    fault: Callable[[], None]

    def write(self, data: Any) -> int:
        fits = max(0, self.room - self.tell())
        written = super().write(bytes(data)[:fits])
        if written < len(data):
            self.fault()
        return written


def fails(code: int) -> None:
    raise OSError(code, os.strerror(code))


def save_failing(monkeypatch: pytest.MonkeyPatch, path: Path, room: int, fault: Callable[[], None]) -> None:
    def opened(place: Path, mode: str = "r", **_: Any) -> Failing:
        file = Failing(str(place), mode)
        file.room, file.fault = room, fault
        return file

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", opened)
        patched.setattr(os, "fsync", lambda number: fault())
        AtomicCheckpointIO().save_checkpoint(checkpoint(2), path)


def rooms(path: Path) -> list[int]:
    size = path.stat().st_size
    return [size * i // (TRIALS - 1) for i in range(TRIALS)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    AtomicCheckpointIO().save_checkpoint(checkpoint(1), tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_a_writer_that_is_killed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in rooms(path):
        if (child := os.fork()) == 0:
            try:
                save_failing(monkeypatch, path, room, lambda: os.kill(os.getpid(), signal.SIGKILL))
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert AtomicCheckpointIO().load_checkpoint(path)["number"] == 1, room
    assert sorted(os.listdir(path.parent)) == [".last.ckpt.unfinished", "last.ckpt"]
    AtomicCheckpointIO().save_checkpoint(checkpoint(3), path)
    assert AtomicCheckpointIO().load_checkpoint(path)["number"] == 3 and os.listdir(path.parent) == ["last.ckpt"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full disk", "broken disk"])
def test_a_disk_that_fails(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    for room in rooms(path):
        with pytest.raises(CannotWriteError) as caught:
            save_failing(monkeypatch, path, room, lambda: fails(code))
        message = str(caught.value)
        assert message.startswith(f"cannot write {path}: {os.strerror(code)}; "), room
        assert message.endswith(f"; then resume with --ckpt_path {path}") and "\n" not in message
        assert AtomicCheckpointIO().load_checkpoint(path)["number"] == 1, room
        assert os.listdir(path.parent) == ["last.ckpt"], room
