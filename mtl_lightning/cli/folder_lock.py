"""Keeps other runs out of a folder."""

from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, Timeout

from mtl_lightning.errors import UserError
from mtl_lightning.file_locks import acquired

_NAME = ".running"


class FolderLock:
    """A file in a folder, which one run holds.

    The system gives it back when the run ends, however that is. Where a file system keeps no locks, the file itself is
    one: it names the process and the machine, and stays if that is killed. A job that its cluster starts again takes
    away what it has left itself on a machine that is lost.

    Args:
        folder: That is there.
        key: What names it, for messages.
        job: What the cluster calls the job that this process belongs to; null: there is none.
        again: Whether that job was started before, and has ended.

    Raises:
        UserError: If another run holds it.
        OSError: If there can be no such file.
    """

    def __init__(self, folder: Path, key: str = "", job: str | None = None, again: bool = False) -> None:
        self._file, self._note = folder / _NAME, folder / f"{_NAME}.job"
        try:
            self._lock = self._taken(job if again else None)
            self._file = Path(self._lock.lock_file)
            if job is not None and self._file.read_text("utf-8", errors="replace"):
                self._note.write_text(job, "utf-8")
        except Timeout as error:
            hint = "wait until it ends, or choose another folder"
            held = Path(error.lock_file)
            if holder := held.read_text("utf-8", errors="replace").split():
                process = f" (process {holder[0]} on {holder[1]})" if len(holder) > 1 else ""
                hint = f"{hint}; if it is no longer running{process}, remove {held}"
            raise UserError(f"{key}another run is writing to {folder}; {hint}") from error

    def release(self) -> None:
        """Gives the folder back."""
        with suppress(OSError):  # the disk can no longer be written: that has been said
            self._note.unlink(missing_ok=True)
            self._file.unlink(missing_ok=True)  # before the lock: whoever comes now makes one of its own
        self._lock.release()

    def _taken(self, job: str | None) -> BaseFileLock:
        """The lock, also where an earlier start of this job has left it."""
        try:
            return acquired(self._file)
        except Timeout as error:
            if job is None or not self._note.exists() or self._note.read_text("utf-8", errors="replace") != job:
                raise
            Path(error.lock_file).unlink(missing_ok=True)
            return acquired(self._file)
