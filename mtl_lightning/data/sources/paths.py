"""Files that a configuration names."""

from pathlib import Path

from mtl_lightning.errors import UserError, did_you_mean


def existing_file(path: Path, written_by: str = "") -> Path:
    """The path itself.

    Args:
        path: Of a file.
        written_by: Command that writes its folder, for the message where even that is missing.

    Raises:
        UserError: If there is no file; it names the nearest one.
    """
    if path.is_file():
        return path
    if path.is_symlink():
        raise UserError(f"{path} is a link to {path.readlink()}, which is no file")
    if path.exists():
        raise UserError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}; name a file")
    if not path.parent.is_dir():
        how = f": `{written_by}` writes it, or name another one as `root`" if written_by else ""
        raise UserError(f"no file {path}; there is no folder {path.parent}{how}")
    beside = [p.name for p in path.parent.iterdir()]
    raise UserError(f"no file {path}; {did_you_mean(path.name, beside) if beside else f'{path.parent} is empty'}")
