"""Where the files of a run go, and that no other run writes there meanwhile."""

import os
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

from mtl_lightning.cli.auto_resume import is_requeued, job_name
from mtl_lightning.cli.folder_lock import FolderLock
from mtl_lightning.cli.world import is_first
from mtl_lightning.errors import UserError
from mtl_lightning.writing import remove_unfinished

RUN_DIR_VARIABLE = "MTL_LIGHTNING_RUN_DIR"


class RunFolder:
    """The folder of a run, which is its own until :meth:`release`.

    It is made and locked by the first process. Processes that this one starts find it in the environment.

    Attributes:
        path: Of the folder.
    """

    def __init__(
        self, name: str, given: str | None, checkpoint: str | None, again: bool = False, shared: str | None = None
    ) -> None:
        """Takes the folder that is given, that of the checkpoint which is resumed, or a new ``runs/<name>/<time>``.

        A job of SLURM or torchrun has ``runs/<name>/slurm-<job>-<step>`` or ``torchrun-<id>`` to come back to.

        Args:
            name: Of the run.
            given: Folder, if the user names one.
            checkpoint: Checkpoint to resume from, if there is one.
            again: Whether the folder is to be the same one when the command is started again.
            shared: What the first process has chosen, on the others that it has not started.

        Raises:
            UserError: If another run is writing there, no folder can be created there, or none would be the same.
        """
        self._again = again
        self._locks: list[FolderLock] = []
        self._new: list[Path] = []
        if shared is not None:
            self.path = Path(shared)
            os.environ[RUN_DIR_VARIABLE] = shared
            return
        if "LOCAL_RANK" in os.environ and RUN_DIR_VARIABLE in os.environ:
            self.path = Path(os.environ[RUN_DIR_VARIABLE])
            return
        first = is_first(os.environ)
        try:
            self.path = self._chosen(Path("runs", name), given, checkpoint, first)
            if first:
                self._take(self.path, "trainer.default_root_dir: " if given is not None else "")
        except OSError as error:
            where = f"trainer.default_root_dir: {given}" if given else f"runs/{name}"
            raise UserError(f"{where}: no folder can be created there: {error.strerror}") from error
        os.environ[RUN_DIR_VARIABLE] = str(self.path)

    def take_checkpoints(self, given: str | None) -> None:
        """Takes the folder of the checkpoints too, where that is elsewhere.

        Args:
            given: Folder, if the user names one.

        Raises:
            UserError: If another run is writing there.
        """
        if given is None or "://" in given or not self._locks:
            return
        folder = Path(given).parent if Path(given).name == "checkpoints" else Path(given)  # that of a run holds both
        if folder.resolve() != self.path.resolve():
            with suppress(OSError):  # which is said when it is made
                self._take(folder, "checkpoint.dirpath: ")

    def release(self) -> None:
        """Gives the folder back; one that was made for a run that never began is removed."""
        for lock in self._locks:
            lock.release()
        self._locks = []
        os.environ.pop(RUN_DIR_VARIABLE, None)  # or another run of this program would start its processes there
        with suppress(OSError):  # there is something in it
            for folder in reversed(self._new):
                folder.rmdir()

    def _chosen(self, parent: Path, given: str | None, checkpoint: str | None, first: bool) -> Path:
        if given is not None:
            return Path(given)
        if checkpoint is not None and Path(checkpoint).parent.name == "checkpoints":
            return Path(checkpoint).parent.parent
        job = job_name()
        if self._again and job is None:
            raise UserError(
                "ckpt_path: auto needs a folder that is the same when the command is started again; name it with "
                "`--trainer.default_root_dir`"
            )
        name = job or time.strftime("%Y%m%d-%H%M%S")
        return parent / name if not first or self._again else self._made(parent, name)

    def _made(self, parent: Path, name: str) -> Path:
        """A new folder: of several processes that ask for it, each gets its own."""
        for number in count(1):
            path = parent / (name if number == 1 else f"{name}-{number}")
            with suppress(FileExistsError):
                self._make(path)
                return path
        raise AssertionError("some number is free")

    def _make(self, path: Path) -> None:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True)
        self._new += missing[::-1]

    def _take(self, folder: Path, key: str) -> None:
        with suppress(FileExistsError):
            self._make(folder)
        self._locks.append(FolderLock(folder, key, job_name(), is_requeued()))
        for place in (folder, folder / "checkpoints"):
            remove_unfinished(place)
