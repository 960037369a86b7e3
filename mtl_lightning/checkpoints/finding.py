"""Which file a ``--ckpt_path`` means."""

import os
from collections.abc import Iterable
from pathlib import Path

from mtl_lightning.checkpoints.best import best_of
from mtl_lightning.checkpoints.exported import weights_in
from mtl_lightning.checkpoints.parts import owner_of
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.names import checked_path
from mtl_lightning.terminal import say

_SHARDED = (".metadata", "meta.pt", "zero_to_fp32.py")
"""Files of the folders that FSDP and DeepSpeed write in place of a checkpoint."""


def find_checkpoint(given: str, name: str, last: bool, key: str = "ckpt_path") -> Path:
    """The file that a ``--ckpt_path`` means.

    Args:
        given: A file; the folder of a run, or of an exported model; or ``best`` or ``last``, of the newest run called
            ``name``.
        name: Of the run.
        last: Whether a folder means its last checkpoint rather than its best.
        key: Of the configuration, for messages.

    Raises:
        UserError: If there is none.
    """
    path = Path(given)
    if path.is_file():
        return path
    if given in ("best", "last"):
        return _in_folder(_newest_run(given, name, key), given == "last", key)
    if path.is_dir():
        return _in_folder(path, last, key)
    if os.path.lexists(path):
        raise UserError(f"{key}: {path} is neither a file nor a folder; give a checkpoint or a run's folder")
    raise UserError(f"{key}: no file or folder {path}; give a checkpoint, a run's folder, `best` or `last`")


def _newest_run(given: str, name: str, key: str) -> Path:
    runs = Path("runs", checked_path("name", name, "runs"))
    names = ("last.ckpt",) if given == "last" else ("best.json", "best.ckpt", "last.ckpt")
    found = [file for wanted in names for file in runs.glob(f"*/checkpoints/{wanted}")]
    if not found:
        others = sorted({str(file.parents[2].relative_to("runs")) for file in Path("runs").glob("**/last.ckpt")})
        hint = f"`--name`: {did_you_mean(name, others)}" if others else "give a file or a folder"
        raise UserError(f"{key} '{given}': no run under {runs} has a {given} checkpoint; {hint}")
    return _newest(found)


def _newest(found: Iterable[Path]) -> Path:
    """The run of the newest of some files in ``checkpoints``."""
    return max(found, key=lambda file: file.stat().st_mtime).parent.parent


def _in_folder(folder: Path, last: bool, key: str) -> Path:
    if (exported := weights_in(folder)) is not None:
        return exported
    newest = folder / "checkpoints" / "last.ckpt"
    if not last and (best := best_of(folder)) is not None:
        return best
    if owner := owner_of(folder):
        raise UserError(f"{key}: {folder} has parts of a checkpoint; give {owner}, which they belong to")
    if sharded := next((path for path in (folder, newest) for name in _SHARDED if (path / name).exists()), None):
        raise UserError(
            f"{key}: {sharded} is a checkpoint in parts, of a model that was split over processes; join them into one "
            "file, or train with a strategy that keeps the model whole"
        )
    if not newest.is_file():
        wanted = f"{'' if last else 'best.ckpt or '}last.ckpt in checkpoints/"
        inside = list(folder.glob("*/checkpoints/last.ckpt"))
        hint = f"; the newest run in it is {_newest(inside)}" if inside else ""
        raise UserError(f"{key}: folder {folder} has no {wanted}{hint}")
    if not last:
        say(f"{folder} has no best checkpoint: using last.ckpt", error=True)
    return newest
