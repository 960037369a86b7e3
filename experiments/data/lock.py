"""Keeps two commands from writing to one folder of data sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mtl_lightning.errors import UserError
from mtl_lightning.writing import writing


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder, which is made if it is not there.

    Raises:
        UserError: If another process holds it, or it cannot be written to.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise UserError(f"another `python -m experiments.data` is writing to {folder}; wait for its end") from error
    try:
        yield
    finally:
        lock.release()
