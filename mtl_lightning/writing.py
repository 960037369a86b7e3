"""What is said where a file cannot be written: which one, why, and what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl_lightning.errors import UserError

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

OF_THE_MACHINE = frozenset(_REMEDIES) - {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
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
    except CannotWriteError:
        raise
    except Exception as error:
        found = system_error(error)
        if found is None:
            raise
        raise CannotWriteError(cannot_write(path, found, key, hint)) from error


def system_error(error: BaseException | None) -> OSError | None:
    """The ``OSError`` that an exception is, or came of."""
    while error is not None and not (isinstance(error, OSError) and error.errno is not None):
        error = error.__cause__ or error.__context__
    return error


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


def write_whole(path: Path, text: str) -> None:
    """Writes a file that appears whole or not at all, also if the machine stops meanwhile.

    Raises:
        CannotWriteError: If it cannot be written; what was there before stays, and nothing is left beside it.
    """
    with replacing(path) as unfinished:
        unfinished.write_text(text, "utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside another one, whose place it takes when it is complete and on the disk.

    Raises:
        CannotWriteError: If it cannot be written; what was there before stays, and nothing is left beside it.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield unfinished
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
