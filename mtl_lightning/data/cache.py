"""Files that are made once: by one process while the others wait, and then found by every run."""

import atexit
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TypeVar

from datasets import config
from filelock import FileLock

from mtl_lightning.writing import CannotWriteError, writing

_LOG = logging.getLogger(__name__)
_Made = TypeVar("_Made")
_ROWS_A_PROCESS = 25_000
_HINT = "set HF_DATASETS_CACHE, or TMPDIR, to a folder with some space"


def made_once(key: str, make: Callable[[Path], _Made]) -> _Made:
    """What is made of, or found in, a file of the cache, which nobody else has meanwhile.

    Processes of one run, and runs that start at once, come to the same work at the same time. Whoever is first does
    it; the others wait, and find it done. If it fails, so does each of them, with the same message.

    Where the cache cannot be written, the file is made in a temporary folder, for this process alone.

    Args:
        key: Says all that the content follows from.
        make: Writes the file unless it is there, and returns what it holds.

    Raises:
        CannotWriteError: If there is no room for a temporary file either.
    """
    # A folder for each: `datasets` lists it whenever it makes a table.
    path = Path(config.HF_DATASETS_CACHE, "mtl_lightning", key, "table.arrow")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                return make(path)
    except CannotWriteError as error:
        first = not _own_folder.cache_info().currsize
        own = Path(_own_folder(), key, path.name)
        if first:
            _LOG.warning(f"{error}; what is read and encoded is kept in {own.parents[1]}, for this run alone")
        with writing(own, hint=_HINT):
            own.parent.mkdir(exist_ok=True)
            return make(own)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps others from a file; not from one in a cache that is only read and has it already.

    What ``datasets`` leaves beside it when the disk is full, or when it is killed, is removed.
    """
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire()
    except OSError:
        if not any(path.parent.glob(f"{path.stem}*.arrow")):
            raise
    try:
        yield
    finally:
        with suppress(OSError):
            for unfinished in path.parent.glob("tmp*"):
                unfinished.unlink()
        lock.release()


@cache
def _own_folder() -> str:
    with writing("a temporary folder", hint=_HINT):
        folder = mkdtemp(prefix="mtl_lightning-")
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder


def num_encoders(rows: int) -> int | None:
    """How many processes encode a table; null: this one does.

    To start them takes about a second, in which one process encodes some ten thousand sentences.

    Args:
        rows: Of the table.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = min(cores, rows // _ROWS_A_PROCESS)
    return number if number > 1 else None


@contextmanager
def same_environment() -> Iterator[None]:
    """Leaves the environment as it was, and the same object, which libraries hold on to: where several processes
    encode a table, `datasets` puts a copy in its place.
    """
    held, before = os.environ, dict(os.environ)
    try:
        yield
    finally:
        os.environ = held  # noqa: B003 - as it was
        for name in held.keys() - before.keys():
            del held[name]
        held.update(before)
