"""Which file a ``--ckpt_path`` means."""

import sys
from pathlib import Path

from mtl_lightning.errors import UserError


def find_checkpoint(given: str, name: str, last: bool) -> Path:
    """The file that a ``--ckpt_path`` means.

    Args:
        given: A file; the folder of a run; or ``best`` or ``last``, of the newest run called ``name``.
        name: Of the run.
        last: Whether a folder means its last checkpoint rather than its best.

    Raises:
        UserError: If there is none.
    """
    path = Path(given)
    if path.is_file():
        return path
    wanted = "last.ckpt" if last else "best.ckpt"
    if given in ("best", "last"):
        wanted, path = f"{given}.ckpt", Path("runs", name)
        runs = sorted(path.glob(f"*/checkpoints/{wanted}"), key=lambda file: file.stat().st_mtime)
        if runs:
            return runs[-1]
        raise UserError(f"ckpt_path '{given}': no run under {path} has a {wanted}; give `--name`, or a file")
    if path.is_dir():
        for name in (wanted, "last.ckpt"):
            if (path / "checkpoints" / name).is_file():
                if name != wanted:
                    print(f"{path} has no {wanted} (it was never validated): taking {name}", file=sys.stderr)
                return path / "checkpoints" / name
        raise UserError(f"ckpt_path: folder {path} has no checkpoints/{wanted}")
    raise UserError(f"ckpt_path: no file or folder {path}; give a checkpoint, a run's folder, `best` or `last`")
