"""Files that a configuration names."""

from pathlib import Path

from mtl_lightning.errors import UserError, did_you_mean


def existing_file(path: Path) -> Path:
    """The path itself.

    Raises:
        UserError: If there is no file; it names the nearest one.
    """
    if path.is_file():
        return path
    if path.is_symlink():
        raise UserError(f"{path} is a link to {path.readlink()}, which is no file")
    if path.exists():
        raise UserError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}; name a file")
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    empty = f"{path.parent} is empty" if path.parent.is_dir() else f"there is no folder {path.parent}"
    raise UserError(f"no file {path}; {did_you_mean(path.name, beside) if beside else empty}")
