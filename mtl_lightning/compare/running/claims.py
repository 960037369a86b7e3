"""Which process is at which run, where several work on one comparison."""

from pathlib import Path

from filelock import FileLock, Timeout

from mtl_lightning.compare.planning.plan import Run
from mtl_lightning.writing import writing


class Claims:
    """The runs that this process is at: no other one takes them meanwhile, and all are free again when it ends.

    Args:
        folder: For a file a run, which is seen on all machines.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, FileLock] = {}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def take(self, run: Run) -> bool:
        """Claims a run, unless another process is at it.

        Raises:
            UserError: If its file cannot be locked.
        """
        lock = FileLock(self._folder / f"{run.key}.lock", timeout=0)
        try:
            with writing(lock.lock_file):
                lock.acquire()
        except Timeout:
            return False
        self._held[run.key] = lock
        return True

    def release(self, run: Run) -> None:
        """Gives a run back, which has ended."""
        if lock := self._held.pop(run.key, None):
            lock.release()
