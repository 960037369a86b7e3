"""Keeps two commands from writing to one folder of data sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl_lightning.cli.folder_lock import FolderLock
from mtl_lightning.writing import writing


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder, which is made if it is not there.

    Raises:
        UserError: If another process holds it, or it cannot be written to.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
    try:
        yield
    finally:
        lock.release()
