"""What cannot be written is one line with its path, and loses nothing that was written before."""

import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from datasets import config

from mtl_lightning.callbacks import LastCheckpoint
from mtl_lightning.checkpoints.io import AtomicCheckpointIO
from mtl_lightning.compare.running.store import Store
from mtl_lightning.data import cache
from mtl_lightning.data.readers import bad_rows
from mtl_lightning.errors import UserError
from mtl_lightning.writing import CannotWriteError, Place, of_the_machine, temporary_folder, write_whole, writing

CODES = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "EFBIG", "EIO")


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file may become larger, as with `ulimit -f`: what is written beyond fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("code", CODES)
def test_what_is_said(code: str) -> None:
    number = getattr(errno, code)
    with pytest.raises(CannotWriteError) as caught, writing("a/b", "data", "hint"):
        raise OSError(number, "in the library's words", "elsewhere")
    message = str(caught.value)
    assert message.startswith(f"data: cannot write a/b: {os.strerror(number)}; ") and message.endswith("; hint")


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "x" / "y", tmp_path / "file" / "y"):
        with pytest.raises(CannotWriteError, match=f"cannot write {path}: {tmp_path}/file is a file, not a folder"):
            write_whole(path, "")


def test_mistakes_of_other_kinds_stay_what_they_are() -> None:
    for error in (UserError("bad"), KeyError("x"), RuntimeError("x")):
        with pytest.raises(type(error)) as caught, writing("a"):
            raise error from None
        assert caught.value is error


def test_errors_of_the_machine_are_one_line() -> None:
    assert of_the_machine(FileNotFoundError(errno.ENOENT, "")) is None
    assert of_the_machine(ValueError("x")) is None
    assert of_the_machine(OSError(errno.ENOSPC, "")) == "No space left on device; free some space"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_whole(path, "good")
    with small_files(100), pytest.raises(CannotWriteError, match="File too large; raise the limit"):
        write_whole(path, "x" * 1000)
    assert path.read_text() == "good" and os.listdir(path.parent) == ["a.json"]


def test_a_checkpoint_stays_if_the_next_one_has_no_room(tmp_path: Path) -> None:
    """torch, as it closes the archive, says "unexpected pos" instead."""
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"number": 1}, path)
    with small_files(20_000), pytest.raises(CannotWriteError) as caught:
        AtomicCheckpointIO().save_checkpoint({"tensor": torch.zeros(100_000)}, path)
    assert str(caught.value).endswith(f"or write to another file system; then resume with --ckpt_path {path}")
    assert torch.load(path) == {"number": 1} and os.listdir(tmp_path) == ["last.ckpt"]


def test_a_file_is_on_the_disk_before_it_is_moved_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    replace = Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append(os.readlink(f"/proc/self/fd/{number}")))
    monkeypatch.setattr(Path, "replace", lambda path, to: (done.append("moved"), replace(path, to)))
    write_whole(tmp_path / "a.json", "new")
    assert done == [str(tmp_path / ".a.json.unfinished"), "moved", str(tmp_path)]


@pytest.mark.parametrize(("code", "serious"), [("EINVAL", False), ("ENOTSUP", False), ("EIO", True)])
def test_file_systems_that_cannot_synchronise_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, serious: bool
) -> None:
    def fsync(number: int) -> None:
        if Path(f"/proc/self/fd/{number}").resolve().is_dir():
            raise OSError(getattr(errno, code), "")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CannotWriteError, match="the disk or its network is broken") if serious else nullcontext():
        write_whole(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"


def test_no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", _fails)
    with pytest.raises(CannotWriteError, match=r"a temporary folder: .*; set TMPDIR"), temporary_folder():
        pass


def _fails(*args: Any, **kwargs: Any) -> Any:
    raise OSError(errno.ENOSPC, "")


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: bad_rows.write_bad_rows([], str(folder), "d", "train"),
        lambda folder: Store(folder).locked().__enter__(),
    ],
    ids=["skipped rows", "comparison"],
)
def test_places_that_are_none(tmp_path: Path, write: Callable[[Path], Any]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWriteError, match="is a file, not a folder"):
        write(tmp_path / "file" / "x")


# -- the cache ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    found: list[str] = []
    monkeypatch.setattr(cache._LOG, "warning", found.append)
    yield found
    cache._own_folder.cache_clear()


def test_without_a_cache_a_file_is_made_for_this_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "file")
    path = cache.made_once("a", lambda path: path)
    assert cache.made_once("a", lambda path: path) == path != cache.made_once("b", lambda path: path)
    assert path.parent.is_dir() and tmp_path not in path.parents
    assert len(said) == 1 and f"{tmp_path}/file is a file, not a folder" in said[0] and str(path.parents[1]) in said[0]


def test_a_full_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    """`datasets` leaves a file, and raises something else as it closes it."""
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path)

    def write(path: Path) -> Path:
        if tmp_path not in path.parents:
            return path
        path.with_name("tmp123").touch()
        try:
            return Path(_fails())
        finally:
            raise ValueError("I/O operation on closed file")

    assert tmp_path not in cache.made_once("a", write).parents
    assert "table.arrow: No space left on device" in said[0]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["table.lock"]
    with pytest.raises(CannotWriteError, match="set HF_DATASETS_CACHE, or TMPDIR, to a folder with some space"):
        cache.made_once("b", _fails)


def test_a_cache_that_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path)
    cache.made_once("a", Path.touch)
    monkeypatch.setattr(cache.FileLock, "acquire", _fails)
    assert cache.made_once("a", lambda path: path) == tmp_path / "mtl_lightning" / "a" / "table.arrow"
    assert not said
    assert tmp_path not in cache.made_once("b", lambda path: path).parents


# -- a run's folder that goes away -------------------------------------------------------------------------------------
def test_a_place_is_the_same_folder_all_the_time(tmp_path: Path) -> None:
    place = Place(tmp_path / "a")
    place.check("there is none yet")
    (tmp_path / "a").mkdir()
    place = Place(tmp_path / "a")
    place.check("nothing has happened")
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").mkdir()
    with pytest.raises(CannotWriteError, match=r"a was removed or moved while the run was writing to it; do that"):
        place.check("do that")


@pytest.mark.parametrize(("hook", "hint"), [("on_train_epoch_start", "resume with"), ("on_train_end", "are gone")])
def test_a_run_whose_folder_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hook: str, hint: str
) -> None:
    tiny.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LastCheckpoint, hook, lambda *_: shutil.rmtree("run", ignore_errors=True), raising=False)
    assert tiny.fit("run", "--json=scores.json") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: run was removed or moved while the run was writing to it; ") and hint in error
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    if hint == "resume with":
        assert tiny.fit("run", "--ckpt_path=run", "--json=scores.json") == 0
    assert (tmp_path / "scores.json").stat().st_size
