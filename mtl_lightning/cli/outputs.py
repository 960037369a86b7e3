"""Files that a command writes where the user says."""

import os
from pathlib import Path
from typing import IO

from mtl_lightning.writing import writing


def check_output(path: str, key: str = "--output") -> None:
    """Raises :class:`.CannotWriteError` if a file cannot be written; what it holds stays.

    Args:
        path: Of the file.
        key: What names it, for messages.
    """
    existed = Path(path).exists()
    if not existed or Path(path).is_file() or Path(path).is_dir():  # the reader of a pipe would take it for the end
        opened(path, key, "a").close()
    if not existed:
        Path(path).unlink()


def opened(path: str, key: str, mode: str) -> IO[str]:
    """Opens a file to write into; its folder is made.

    Raises:
        CannotWriteError: If that cannot be.
    """
    with writing(path, key):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return open(path, mode, encoding="utf-8")


class Output:
    """A file that gets its name once it is whole; until then, ``.partial`` stands behind it.

    What is no usual file, such as a pipe, is written as it is.

    Args:
        path: Of the file.
        key: What names it, for messages.

    Attributes:
        file: To write to.
        partial: Its path meanwhile.
    """

    def __init__(self, path: str, key: str) -> None:
        self._path, self._key = Path(os.path.realpath(path)), key
        usual = self._path.is_file() or not self._path.exists()
        self.partial = self._path.with_name(f"{self._path.name}.partial") if usual else self._path
        self.file = opened(str(self.partial), key, "w")

    def finish(self) -> None:
        """Closes it: it is whole."""
        with writing(self._path, self._key):
            self.file.close()
            if self.partial != self._path:
                self.partial.replace(self._path)
