"""What an exported folder says of itself: its format, who wrote it, and the checksum of each file."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from mtl_lightning.errors import UserError, shown
from mtl_lightning.small_files import read_small_text
from mtl_lightning.version import __version__
from mtl_lightning.writing import synchronise, write_whole

NAME = "export.json"
"""The file that says it."""


class Manifest(NamedTuple):
    """What it says.

    Attributes:
        format: Name of the format, as ``export --format`` takes it.
        version: Of the ``mtl_lightning`` that wrote it.
        files: SHA-256 of each file, in hexadecimal digits, by its path in the folder.
    """

    format: str
    version: str
    files: dict[str, str]


def seal(folder: Path, form: str) -> None:
    """Writes the manifest of a folder that is complete, and waits until all of it is on the disk.

    Args:
        folder: All files in it belong to the export.
        form: Name of the format.
    """
    digests = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / NAME):
        synchronise(path)
        digests[path.relative_to(folder).as_posix()] = _digest(path)
    found = {"format": form, "mtl_lightning": __version__, "files": digests}
    write_whole(folder / NAME, json.dumps(found, indent=2) + "\n")


def manifest_of(folder: Path) -> Manifest | None:
    """What a folder says of itself; null: it is no export."""
    try:
        found: Any = json.loads(read_small_text(folder / NAME))
        made = Manifest(found["format"], found["mtl_lightning"], dict(found["files"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    texts = (made.format, made.version, *made.files, *made.files.values())
    return made if all(isinstance(text, str) for text in texts) else None


def check_files(folder: Path) -> Manifest:
    """Compares the files of an export with their checksums.

    Raises:
        UserError: If the folder is no export, or a file is missing or another one.
    """
    found = manifest_of(folder)
    if found is None:
        raise UserError(f"{folder} is no exported model: it has no readable {NAME}; export it again, or copy all of it")
    root = folder.resolve()
    for name, digest in found.files.items():
        if not (path := _inside(root, name)):
            raise UserError(
                f"{folder} lacks {shown(name)[1:-1]}, which was exported; copy all of it, or export it again"
            )
        if _digest(path) != digest:
            raise UserError(f"{folder / name} is not what was exported, its checksum differs; export it again")
    return found


def _inside(root: Path, name: str) -> Path | None:
    """The file of a name, unless it is no usual one in this folder."""
    try:
        path = (root / name).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, or links in a circle
        return None


def listed(found: Manifest, folder: Path, name: str) -> Path:
    """The path of a file of an export, of which the checksum was compared.

    Raises:
        UserError: If the manifest does not name it.
    """
    if name not in found.files:
        raise UserError(f"{folder / NAME} does not name {name[:200]}; export the model again")
    return folder / name


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
