"""Files that one process holds at a time, also where a file system keeps no locks."""

import errno
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What file systems say that keep no locks; of ``ENOSYS``, filelock takes care itself."""


def acquired(file: Path) -> BaseFileLock:
    """A lock on a file, which the system gives back when its process ends, however that is.

    Where a file system keeps no locks, a file beside it is one (its name ends in ``.here``): it names the process and
    the machine, and stays if that is killed. ``lock_file`` of what is returned says which.

    Raises:
        filelock.Timeout: If somebody else holds it.
        OSError: If there can be no such file.
    """
    lock: BaseFileLock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        file.unlink(missing_ok=True)  # which is nobody's
        lock = SoftFileLock(file.with_name(f"{file.name}.here"), timeout=0)
        lock.acquire()
    return lock
