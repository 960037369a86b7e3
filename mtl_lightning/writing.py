"""What is said where a file cannot be written: which one, why, and what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from mtl_lightning.errors import UserError, led_to

_UNFINISHED = ".unfinished"
_FULL = "free some space"
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit of a file's size (`ulimit -f`), or write to another file system",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "close other programs, or raise the system's limit of open files",
    errno.EROFS: "name a place that may be written",
    errno.EACCES: "name a place that you may write to",
    errno.EPERM: "name a place that you may write to",
    errno.EIO: "the disk or its network is broken; name a place elsewhere",
    errno.ESTALE: "the network's file system was mounted anew; name a place elsewhere",
    errno.ENAMETOOLONG: "give a shorter name",
}
"""What to do about what the system reports."""

_OF_THE_MACHINE = frozenset(_REMEDIES) - {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
"""Errors that are nobody's mistake: whatever is at work when they come, no code of ours or the user's is to blame."""


class CannotWriteError(UserError):
    """A file that cannot be written."""


@contextmanager
def writing(path: str | os.PathLike[str], key: str = "", hint: str = "") -> Iterator[None]:
    """Makes one line of whatever keeps a file, or a folder, from being written.

    Args:
        path: Of what is written.
        key: What names it, for messages.
        hint: What else to do.

    Raises:
        CannotWriteError: With the path, the reason and what to do, for any ``OSError``, also where a library has made
            another exception of it.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        found = system_error(error)
        if found is None:
            raise
        raise CannotWriteError(cannot_write(path, found, key, hint)) from error


def system_error(error: BaseException | None) -> OSError | None:
    """The ``OSError`` that an exception is, or was made of.

    Libraries that fail to close a file which the disk has no room for raise what has nothing to say of that: there, the
    exception that came before counts, if it is nobody's mistake.
    """
    for found in led_to(error):
        if isinstance(found, OSError) and found.errno is not None and (found is error or _counts(error, found)):
            return found
    return None


def _counts(given: BaseException | None, error: OSError) -> bool:
    return error.errno in _OF_THE_MACHINE or (given is not None and given.__cause__ is error)


def of_the_machine(error: BaseException) -> str | None:
    """What is said of an exception that is nobody's mistake, such as a full disk; null for any other.

    >>> of_the_machine(OSError(errno.EMFILE, os.strerror(errno.EMFILE), "data.csv"))
    'Too many open files: data.csv; raise the limit of open files (`ulimit -n`)'
    """
    found = system_error(error)
    if found is None or found.errno not in _OF_THE_MACHINE:
        return None
    path = f": {found.filename}" if found.filename else ""
    return f"{os.strerror(found.errno)}{path}; {_REMEDIES[found.errno]}"


def cannot_write(path: str | os.PathLike[str], error: OSError, key: str = "", hint: str = "") -> str:
    """What is said of a file that cannot be written.

    >>> cannot_write("a/b.csv", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    'cannot write a/b.csv: No space left on device; free some space'
    """
    assert error.errno is not None
    reason, remedy = os.strerror(error.errno), _REMEDIES.get(error.errno, "")
    if isinstance(error, FileNotFoundError):
        reason, remedy = "its folder is gone", "was it removed or moved meanwhile?"
    elif isinstance(error, FileExistsError | NotADirectoryError) and (blocked := _file_in_the_way(Path(path))):
        reason, remedy = f"{blocked} is a file, not a folder", "name another place, or move that file away"
    advice = "; ".join(part for part in (remedy, hint) if part)
    return f"{key + ': ' if key else ''}cannot write {os.fspath(path)}: {reason}" + (f"; {advice}" if advice else "")


def _file_in_the_way(path: Path) -> Path | None:
    return next((place for place in (path, *path.parents) if place.exists() and not place.is_dir()), None)


class Place:
    """A folder that is to stay where it is.

    Args:
        path: Of the folder; where there is none yet, nothing is checked.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._identity = self._now()

    def check(self, hint: str) -> None:
        """Raises :class:`CannotWriteError` if the folder is gone, also if another one has taken its place.

        Args:
            hint: What to do then.
        """
        if self._identity is not None and self._identity != self._now():
            raise CannotWriteError(f"{self.path} was removed or moved while the run was writing to it; {hint}")

    def _now(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed in the end.

    Raises:
        CannotWriteError: If there can be none.
    """
    with ExitStack() as stack:
        with writing("a temporary folder", hint="set TMPDIR to a folder with some space"):
            folder = stack.enter_context(TemporaryDirectory(prefix="mtl_lightning-", ignore_cleanup_errors=True))
        yield Path(folder)


def write_whole(path: Path, text: str) -> None:
    """Writes a file that appears whole or not at all, also if the machine stops meanwhile.

    Raises:
        CannotWriteError: If it cannot be written; what was there before stays, and nothing is left beside it.
    """
    with replacing(path) as unfinished:
        unfinished.write_text(text, "utf-8")


@contextmanager
def replacing(path: Path, hint: str = "") -> Iterator[Path]:
    """A new file beside another one, whose place it takes when it is complete and on the disk.

    Args:
        path: Where it is to be.
        hint: What to do where that fails, besides.

    Raises:
        CannotWriteError: If it cannot be written; what was there before stays, and nothing is left beside it.
    """
    unfinished = path.with_name(f".{path.name}{_UNFINISHED}")
    with writing(path, hint=hint):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield unfinished
            synchronise(unfinished)
            unfinished.replace(path)
            synchronise(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Removes what processes that were killed have left of files that :func:`replacing` was writing.

    Args:
        folder: In which nobody is writing now; there may be none.
    """
    for path in folder.glob(f".*{_UNFINISHED}"):
        with suppress(OSError):  # another owner's
            path.unlink()


def synchronise(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk; some file systems cannot do that for a folder."""
    try:
        number = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():  # of another owner, or on Windows
            return
        raise
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(number)
