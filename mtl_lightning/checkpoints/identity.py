"""Which checkpoint a file is, without reading all of it."""

import hashlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from mtl_lightning.manifest import manifest_of

_UNREADABLE = "unreadable"


def identity(path: str | None) -> dict[str, Any]:
    """What tells a checkpoint from another one, also on another machine, as JSON can hold it.

    The digest is that of the archive's table of contents, which holds a CRC-32 of each record; of an exported
    model, that of the checksums in its manifest.

    Args:
        path: Of the file; null: there is none. Of a remote one the path alone is known.

    Returns:
        ``file``, ``digest`` (null without a file) and ``step`` (null where it cannot be read).
    """
    if path is None or "://" in path:
        return {"file": path, "digest": path, "step": None}
    digest = _digest(Path(path))
    return {"file": path, "digest": digest, "step": None if digest == _UNREADABLE else _step(path)}


def _digest(path: Path) -> str:
    if (export := manifest_of(path.parent)) is not None and path.name in export.files:
        return hashlib.sha256(repr(sorted(export.files.items())).encode()).hexdigest()[:12]
    try:
        with ZipFile(path) as archive:
            records = [
                (record.filename.partition("/")[2], record.CRC, record.file_size) for record in archive.infolist()
            ]
    except (OSError, BadZipFile, ValueError, NotImplementedError):
        return _UNREADABLE
    return hashlib.sha256(repr(sorted(records)).encode()).hexdigest()[:12]


def _step(path: str) -> int | None:
    """Tensors are not read; what is wrong with the file is said by who reads all of it."""
    try:
        step = torch.load(path, map_location="cpu", weights_only=True, mmap=True).get("global_step")
    except Exception:  # of bytes that are no checkpoint, unpickling may raise anything
        return None
    return step if isinstance(step, int) else None
