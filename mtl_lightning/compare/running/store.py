"""The runs of a comparison on disk: a folder each, found by key."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from mtl_lightning.cli.configuration.plain_yaml import dump_yaml
from mtl_lightning.compare.planning.configs import tasks_of
from mtl_lightning.compare.planning.plan import Run
from mtl_lightning.compare.running.records import KEPT, RESULT, SPENT, read_result, read_seconds, write_result
from mtl_lightning.errors import UserError
from mtl_lightning.writing import write_whole, writing

FIT = "fit.yaml"
PROBED = "probed.json"
LOG = "log.txt"
LOCK = ".lock"
"""Held by the process that is at a run, and by the comparison that is at a folder."""

_PROCESS = ".process"
_PATIENCE = 10.0  # seconds for the last processes of a run to let go of its lock


class Store:
    """Keeps the runs of a comparison.

    What is asked for every half second, of hundreds of runs, is remembered: where they are, until a folder comes or
    goes, and what they came to, once that is final.

    Args:
        folder: Of the comparison.
        shared: Whether several comparisons may be at work in the folder.
    """

    def __init__(self, folder: Path, shared: bool = False) -> None:
        self.folder = folder / "runs"
        self._shared = shared
        self._lock = FileLock(folder / LOCK, timeout=0)
        self._folders: dict[str, Path] = {}
        self._scanned = -1
        self._final: dict[str, dict[str, Any]] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other comparisons out of the folder, except those that share it with this one; may be entered again.

        Raises:
            UserError: If another one is at work there.
        """
        folder = self.folder.parent
        try:
            with writing(folder, "output"):
                folder.mkdir(parents=True, exist_ok=True)
                lock = _locked_with_others(folder / LOCK) if self._shared else self._lock.acquire()
        except Timeout as error:
            other = (folder / _PROCESS).read_text("utf-8", "replace") if (folder / _PROCESS).exists() else "unknown"
            raise UserError(
                f"another compare is running in {folder} (process {other}); wait for it or give another --output"
            ) from error
        with lock:
            with writing(folder, "output"):
                process = f"{os.getpid()}{', with --share true' if self._shared else ''}"
                (folder / _PROCESS).write_text(process, "utf-8")
            yield

    def path(self, run: Run) -> Path:
        """Folder of a run: the one that holds its key, or a new one."""
        changed = self.folder.stat().st_mtime_ns if self.folder.exists() else 0
        if changed != self._scanned:
            self._folders = {path.name.rpartition("-")[2]: path for path in sorted(self.folder.glob("*-*"))[::-1]}
            self._scanned = changed
        return self._folders.get(run.key, self.folder / run.name)

    def result(self, run: Run) -> dict[str, Any] | None:
        """What a run came to, as :func:`.execute.execute` wrote it; None while it has not ended.

        Raises:
            UserError: If the file is broken.
        """
        if run.key in self._final:
            return self._final[run.key]
        found = read_result(self.path(run) / RESULT, tasks_of(run.config))
        if found is not None and found["status"] in KEPT:
            self._final[run.key] = found
        return found

    def is_done(self, run: Run) -> bool:
        """Whether a run need not be run again."""
        found = self.result(run)
        return found is not None and found["status"] in KEPT

    def broken(self) -> dict[str, dict[str, Any]]:
        """What runs came to that would be tried again, by key."""
        found: dict[str, dict[str, Any]] = {}
        for path in self.folder.glob(f"*-*/{RESULT}"):
            with suppress(UserError):  # who asks for the run is told that its file is broken
                found[path.parent.name.rpartition("-")[2]] = read_result(path) or {}
        return {key: result for key, result in found.items() if result and result["status"] not in KEPT}

    def prepare(self, run: Run) -> Path:
        """Makes a run ready to start; one that was stopped resumes, one that failed starts anew.

        Raises:
            UserError: If another process is at the run though it has ended.
        """
        folder = self.path(run)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._final.pop(run.key, None)
        if (folder / RESULT).exists():
            try:
                with FileLock(folder / LOCK, timeout=_PATIENCE):
                    _clear(folder)
            except Timeout as error:
                raise UserError(f"another process is still running in {folder}; wait for it, or end it") from error
        write_whole(folder / FIT, dump_yaml(run.config))
        return folder

    def fail(self, run: Run, status: str, message: str, seconds: float) -> None:
        """Writes down a run that could not do so itself; leaves it alone while another process is at it."""
        folder = self.path(run)
        try:
            seconds = max(0.0, seconds, read_seconds(folder / SPENT))
        except UserError as error:  # it says no more than how long the run took
            message = f"{message}; {error}"
        try:
            with FileLock(folder / LOCK, timeout=_PATIENCE):
                if not (folder / RESULT).exists():
                    write_result(folder / RESULT, {"status": status, "message": message, "seconds": seconds})
        except Timeout:
            return


def _locked_with_others(path: Path) -> IO[bytes]:
    """A file that nobody can lock alone as long as it is open.

    Raises:
        Timeout: If somebody has.
    """
    with ExitStack() as opened:
        file = opened.enter_context(path.open("ab+"))
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Timeout(str(path)) from None
        opened.pop_all()
    return file


def _clear(folder: Path) -> None:
    """Removes what is in the way of a new attempt: all but the lock, or the result alone where a run can resume."""
    goes_on = (read_result(folder / RESULT) or {}).get("status") == "timeout"
    for path in [folder / RESULT] if goes_on else [path for path in folder.iterdir() if path.name != LOCK]:
        remove(path)


def remove(path: Path) -> None:
    """Removes a file or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
