"""The folder of an export, which appears whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from mtl_lightning import manifest
from mtl_lightning.errors import UserError
from mtl_lightning.file_locks import acquired
from mtl_lightning.writing import synchronise, writing


def check_place(folder: Path) -> None:
    """Raises :class:`UserError` unless there is no such folder, or it is empty, or holds an export and nothing else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"--output: {folder} is a file; name a folder")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    before = manifest.manifest_of(folder)
    if found and before is None:
        raise UserError(f"--output: {folder} is not empty, and no export; name another folder")
    if before is not None and (more := sorted(found - {*before.files, manifest.NAME})):
        raise UserError(f"--output: beside an export, {folder} holds {more[0]}; move that away, or name another folder")


@contextmanager
def new_export(folder: Path, form: str) -> Iterator[Path]:
    """An empty folder to write into; at the end it is whole, and takes the place of ``folder``.

    Args:
        folder: Where it is to be; an export that is there goes.
        form: Name of the format.

    Raises:
        UserError: If something else is there, or another process writes there.
        CannotWriteError: If it cannot be written; what was there before stays, and nothing is left beside it.
    """
    check_place(folder)
    folder = folder.resolve()
    unfinished, before = (folder.with_name(f".{folder.name}.{word}") for word in ("unfinished", "before"))
    with writing(folder, "--output"), _held(folder):
        try:
            if before.exists() and not folder.exists():  # killed between the two renames below
                before.replace(folder)
            for path in (unfinished, before):
                shutil.rmtree(path, ignore_errors=True)
            unfinished.mkdir()
            yield unfinished
            manifest.seal(unfinished, form)
            check_place(folder)  # which may have changed meanwhile
            if folder.exists():
                folder.replace(before)
            try:
                unfinished.replace(folder)
            except OSError:
                if before.exists():
                    before.replace(folder)
                raise
            synchronise(folder.parent)
        finally:
            for path in (unfinished, before):
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = acquired(folder.with_name(f".{folder.name}.lock"))
    except Timeout:
        said = f"--output: another export is writing to {folder}"
        raise UserError(f"{said}; wait until it ends, or name another folder") from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # before the lock: whoever comes now makes one of its own
        lock.release()
