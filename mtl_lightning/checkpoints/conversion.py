"""Whole checkpoints and checkpoints in parts are made of each other, in one process."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.checkpoints.io import AtomicCheckpointIO
from mtl_lightning.checkpoints.parts import PARTS_KEY, new_name, new_parts, parts_of, write_parts
from mtl_lightning.checkpoints.split import take_apart, tensors_in
from mtl_lightning.errors import UserError


def convert(path: Path, output: Path) -> bool:
    """Writes a whole checkpoint in parts, and one in parts as a whole.

    The host holds the whole checkpoint meanwhile. Values do not change.

    Args:
        path: Of the checkpoint; it stays.
        output: Where to write.

    Returns:
        Whether it is now in parts.

    Raises:
        UserError: If it cannot be read, or there is something at ``output``.
    """
    for place_of in (Path, parts_of):
        if (place := place_of(output)).exists():
            raise UserError(f"--output: {place} exists; name another file")
    io = AtomicCheckpointIO()
    checkpoint = io.load_checkpoint(path)
    split = PARTS_KEY not in torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if split:
        _save_in_parts(io, checkpoint, output)
    else:
        io.save_checkpoint(checkpoint, output)
    return split


def _save_in_parts(io: AtomicCheckpointIO, checkpoint: Mapping[str, Any], output: Path) -> None:
    users = Counter(tensor.untyped_storage().data_ptr() for tensor in tensors_in(dict(checkpoint)))

    def wanted(tensor: Tensor) -> bool:
        plain = type(tensor) is Tensor and tensor.layout is torch.strided and tensor.is_contiguous()
        return plain and tensor.dim() > 0 and users[tensor.untyped_storage().data_ptr()] == 1  # not tied

    split = take_apart(checkpoint, wanted)
    with new_parts(output, new_name(checkpoint.get("global_step", 0))) as folder:
        write_parts(folder, split.tensors, alone=True)
        io.save_checkpoint({**split.rest, PARTS_KEY: {"folder": folder.name, "places": split.places}}, output)
