"""How checkpoints reach the disk, whole or not at all, and how they are read."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mtl_lightning.checkpoints.archive import ArchiveError, check_archive
from mtl_lightning.checkpoints.exported import WEIGHTS, read_exported
from mtl_lightning.checkpoints.joining_parts import join_parts
from mtl_lightning.checkpoints.parts import named, remove_parts
from mtl_lightning.checkpoints.shapes import CHECKPOINT_KEY, check_shape
from mtl_lightning.errors import UserError
from mtl_lightning.terminal import quoted_path
from mtl_lightning.writing import replacing

__all__ = ["CHECKPOINT_KEY", "AtomicCheckpointIO"]

_CODE = re.compile(r"Unsupported global: GLOBAL (\S+)|Trying to load unsupported GLOBAL (\S+)")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there once it is on the disk.

    Lightning writes to a temporary folder first, and copies where that is another file system: an interrupted copy
    leaves a broken file in the place of a good one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Writes a checkpoint; remote paths are left to Lightning.

        Raises:
            CannotWriteError: If that cannot be; a checkpoint that was there before stays.
        """
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        last = target.with_name("last.ckpt")
        hint = f"then resume with --ckpt_path {quoted_path(last)}" if last.is_file() else ""
        with replacing(target, hint=hint) as unfinished, unfinished.open("wb") as file:
            torch.save(checkpoint, file)
        remove_parts(target, but=named(checkpoint))

    def load_checkpoint(
        self, path: _PATH, map_location: Callable[..., Any] | None = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Reads a checkpoint of this project onto the host, and compares it with its checksums.

        Raises:
            UserError: If it is broken or foreign.
        """
        checkpoint = read_exported(Path(path)) if Path(path).name == WEIGHTS else _read(path, weights_only)
        try:
            check_shape(checkpoint)
        except UserError as error:
            raise UserError(f"{path} {error}") from error
        return checkpoint

    def remove_checkpoint(self, path: _PATH) -> None:
        """Removes a checkpoint and what processes have written of it."""
        super().remove_checkpoint(path)
        if "://" not in str(path):
            remove_parts(Path(path))


def _read(path: _PATH, weights_only: bool | None) -> dict[str, Any]:
    """What a file of torch holds, and what processes have written of it."""
    try:
        with _opened(path) as file:
            check_archive(file)
            file.seek(0)
            checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=weights_only)
    except UserError:
        raise
    except Exception as error:  # of bytes that are no checkpoint, unpickling may raise anything
        raise UserError(
            f"{path} is not a readable checkpoint ({_reason(error)}); is it complete?{_others(path)}"
        ) from error
    join_parts(Path(path), checkpoint)
    return checkpoint


def _others(path: _PATH) -> str:
    """Says which checkpoints are beside one that is broken, the newest first; nothing where there are none."""
    if "://" in str(path):
        return ""
    found = [each for each in Path(path).parent.glob("*.ckpt") if each.name != Path(path).name and each.is_file()]
    names = [quoted_path(each) for each in sorted(found, key=lambda each: each.stat().st_mtime, reverse=True)]
    return f" Others of this run: {', '.join(names)}" if names else ""


def _opened(path: _PATH) -> IO[bytes]:
    if "://" in str(path):
        remote: IO[bytes] = get_filesystem(path).open(str(path), "rb")
        return remote
    if Path(path).is_dir():
        raise UserError(f"{path} is a folder; name the checkpoint in it")
    if Path(path).exists() and not Path(path).is_file():
        raise UserError(f"{path} is not a readable checkpoint: it is not a file")  # a pipe may never end
    return open(path, "rb")


def _reason(error: Exception) -> str:
    if isinstance(error, ArchiveError):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if code := _CODE.search(str(error)):
        return f"it holds code, which is not run: {next(filter(None, code.groups()))[:80]}"
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
