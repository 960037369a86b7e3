"""How checkpoints reach the disk, whole or not at all, and how they are read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mtl_lightning.errors import UserError

CHECKPOINT_KEY = "mtl_lightning"
"""Under which a checkpoint keeps what is ours."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there once it is on the disk.

    Lightning writes to a temporary folder first, and copies where that is another file system: an interrupted copy
    leaves a broken file in the place of a good one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Writes a checkpoint; remote paths are left to Lightning."""
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.unfinished")
        try:
            with unfinished.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: _PATH, map_location: Callable[..., Any] | None = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Reads a checkpoint of this project onto the host.

        Raises:
            UserError: If it is broken or foreign.
        """
        try:
            checkpoint = super().load_checkpoint(path, weights_only=weights_only)
        except Exception as error:  # of bytes that are no checkpoint, unpickling may raise anything
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise UserError(f"{path} is not a readable checkpoint ({reason}); is it complete?") from error
        if not isinstance(checkpoint, dict) or CHECKPOINT_KEY not in checkpoint:
            raise UserError(f"{path} was not written by mtl_lightning")
        return checkpoint
