"""Makes a data set's folder: converted, checked, and only then under its name."""

import os
import shutil
from pathlib import Path

from experiments.data.about import readme
from experiments.data.contents import DAMAGED, content_sha256, gzipped
from experiments.data.recipe import Recipe
from mtl_lightning.errors import UserError
from mtl_lightning.writing import writing


def is_complete(recipe: Recipe, folder: Path) -> bool:
    """Whether a data set is there already, as the recipe makes it; an empty folder is none.

    Raises:
        UserError: If something else stands in its place.
    """
    if folder.is_symlink() and not folder.exists():
        raise UserError(
            f"{folder} is a link to {folder.readlink()}, which is not there; make that folder, or remove the link"
        )
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    for name, expected in recipe.files.items():
        if not (folder / name).is_file():
            raise UserError(f"{folder} is there, but has no file {name}; move it away, or remove it, and try again")
        if _found(folder / name) != expected:
            raise UserError(f"{folder / name} is not what the recipe makes; move {folder} away, and try again")
    return True


def write(recipe: Recipe, sources: list[Path], folder: Path) -> None:
    """Converts a data set into a folder beside its own, which takes its name when all files are as they must be.

    Args:
        recipe: Of the data set.
        sources: The folder of each of its sources.
        folder: Of the data set, which is not there yet.

    Raises:
        UserError: If a file is not what the recipe says, or cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(partial):
            partial.mkdir(parents=True)
            for name, data in recipe.convert(*sources):
                _put(partial / name, gzipped(data) if name.endswith(".gz") else data)
            _put(partial / "README.md", readme(recipe).encode())
            _check(recipe, partial)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put(path: Path, data: bytes) -> None:
    """Writes a file that is on the disk before its folder gets its name."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _check(recipe: Recipe, folder: Path) -> None:
    for name, expected in recipe.files.items():
        found = _found(folder / name)
        if found != expected:
            raise UserError(
                f"{recipe.name}: {name} came out with SHA-256 {found[:12]}…, not {expected[:12]}…, though its sources "
                "are right; this is a fault of the recipe or of a library that it uses: please report it"
            )


def _found(path: Path) -> str:
    """The checksum of what a file holds; one that is damaged has none."""
    try:
        return content_sha256(path.name, path.read_bytes())
    except DAMAGED as error:
        return f"unreadable: {error}"
