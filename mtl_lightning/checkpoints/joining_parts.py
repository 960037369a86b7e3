"""Reads checkpoints in parts; their bytes may come from anybody."""

import pickle
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from mtl_lightning.checkpoints.archive import ArchiveError, check_archive
from mtl_lightning.checkpoints.parts import PARTS_KEY, parts_of, quiet
from mtl_lightning.checkpoints.split import put_together
from mtl_lightning.errors import UserError
from mtl_lightning.writing import CannotWriteError

_METADATA = "torch.distributed.checkpoint.metadata"
_CLASSES = {
    _METADATA: {
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size", *(name for name, value in vars(torch).items() if isinstance(value, torch.dtype))},
    "pathlib": {"PosixPath", "WindowsPath"},
    "pathlib._local": {"PosixPath", "WindowsPath"},
}
"""What torch writes into ``.metadata``, which is a pickle; anything else could run code."""


def join_parts(path: Path, checkpoint: Any) -> None:
    """Reads all parts of a checkpoint onto the host, and compares them with their checksums.

    Args:
        path: Of the file.
        checkpoint: What it holds; one that has no parts stays as it is.

    Raises:
        UserError: If parts are missing or broken.
    """
    if not isinstance(checkpoint, dict) or PARTS_KEY not in checkpoint:
        return
    folder, places = _checked(path, checkpoint.pop(PARTS_KEY))
    try:
        metadata = _metadata(folder)
        _check_files(folder, metadata)
        tensors = {name: _room(metadata.state_dict_metadata[name]) for name in places}
        with quiet():
            load(dict(tensors), storage_reader=_Reader(folder), no_dist=True)
    except (Exception, CheckpointException) as error:  # of bytes that anybody has written, anything may be raised
        reason = str(error) if isinstance(error, ArchiveError | OSError) else type(error).__name__
        raise UserError(f"{path}: its parts in {folder} cannot be read ({reason}); are they complete?") from error
    try:
        put_together(checkpoint, tensors, places)
    except UserError as error:
        raise UserError(f"{path} {error}") from error


def _checked(path: Path, parts: Any) -> tuple[Path, dict[str, list[str | int]]]:
    """The folder and the places that a checkpoint names."""
    name, places = (parts.get("folder"), parts.get("places")) if isinstance(parts, dict) else (None, None)
    if not (_is_plain(name) and isinstance(places, dict) and all(map(_is_place, places.items()))):
        raise UserError(f"{path} is broken: it does not say where its parts are")
    folder = parts_of(path.resolve() if path.is_symlink() else path) / str(name)
    if not folder.is_dir():
        raise UserError(
            f"{path} is a checkpoint in parts, and {folder} is not there: copy {folder.parent} along with it"
        )
    return folder, places


def _is_place(item: tuple[Any, Any]) -> bool:
    name, place = item
    return isinstance(name, str) and isinstance(place, list) and len(place) > 1


def _is_plain(name: Any) -> bool:
    return isinstance(name, str) and name not in ("", "..") and Path(name).name == name and name.isprintable()


def check_complete(folder: Path) -> None:
    """Makes sure that what other processes wrote is here.

    Raises:
        CannotWriteError: If it is not.
    """
    if missing := [name for name in _files(_metadata(folder)) if not (folder / name).is_file()]:
        raise CannotWriteError(
            f"cannot write {folder}: {missing[0]} of another process is not there; all nodes must write to the same "
            "file system, or leave `save_distributed_checkpoint` out"
        )


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in _CLASSES.get(module, ()):
            raise ArchiveError(f"it holds code, which is not run: {module[:40]}.{name[:40]}")
        return super().find_class(module, name)


class _Reader(FileSystemReader):
    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return _metadata(Path(self.path))


def _metadata(folder: Path) -> Metadata:
    with _opened(folder / ".metadata") as file:
        found = _Unpickler(file).load()
    if not isinstance(found, Metadata) or not all(map(_is_plain, _files(found))):
        raise ArchiveError("its table of contents is none")
    return found


def _opened(path: Path) -> BinaryIO:
    if path.exists() and not path.is_file():
        raise ArchiveError(f"{path.name} is not a file")  # a pipe may never end
    return path.open("rb")


def _files(metadata: Metadata) -> set[Any]:
    return {info.relative_path for info in metadata.storage_data.values()}


def _check_files(folder: Path, metadata: Metadata) -> None:
    """Compares each part with its checksum, and sizes with what is there, before memory is taken for them."""
    for info in metadata.storage_data.values():
        with _opened(folder / info.relative_path) as file:
            file.seek(info.offset)
            check_archive(BytesIO(file.read(info.length)))
    held = sum((folder / name).stat().st_size for name in _files(metadata))
    if sum(map(_num_bytes, metadata.state_dict_metadata.values())) > held:
        raise ArchiveError("there is less than its table of contents says")


def _num_bytes(tensor: Any) -> int:
    """Of a tensor whose chunks fill it."""
    if not isinstance(tensor, TensorStorageMetadata) or not _is_full(tensor):
        raise ArchiveError("a part of a tensor is missing")
    return prod(tensor.size) * tensor.properties.dtype.itemsize


def _is_full(tensor: TensorStorageMetadata) -> bool:
    """Whether chunks of whole rows follow one another: in a gap, the tensor would be what memory holds."""
    num_rows, *row = tensor.size
    end = 0
    for chunk in sorted((each for each in tensor.chunks if prod(each.sizes)), key=lambda each: each.offsets[0]):
        if list(chunk.offsets) != [end] + [0] * len(row) or list(chunk.sizes[1:]) != row:
            return False
        end += chunk.sizes[0]
    return end == num_rows or prod(tensor.size) == 0


def _room(tensor: Any) -> Tensor:
    return torch.empty(tensor.size, dtype=tensor.properties.dtype)
