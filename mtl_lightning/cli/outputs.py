"""Files that a command writes where the user says."""

from pathlib import Path
from typing import IO

from mtl_lightning.errors import UserError


def check_output(path: str, key: str = "--output") -> None:
    """Raises :class:`UserError` if a file cannot be written; what it holds stays.

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
        UserError: If that cannot be.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return open(path, mode, encoding="utf-8")
    except OSError as error:
        raise cannot_write(key, path, error) from error


def cannot_write(key: str, name: str, error: OSError) -> UserError:
    """What is said of a file that cannot be written."""
    return UserError(f"{key}: cannot write {name}: {error.strerror}")
