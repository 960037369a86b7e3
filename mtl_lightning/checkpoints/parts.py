"""Checkpoints in parts: each process writes what it holds, by ``torch.distributed.checkpoint``.

``last.ckpt`` stays a file: all but the tensors that processes hold parts of. It names a folder in ``last.ckpt.parts``
where these are. The file is replaced as a whole once that folder is complete and on the disk, and then the folder that
it named before is removed: at any moment, ``last.ckpt`` is a checkpoint that can be read.
"""

import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from mtl_lightning.writing import synchronise, writing

PARTS_KEY = "parts"
"""Under which a checkpoint names the folder of its parts, and the places of the tensors in it."""
_SUFFIX = ".parts"
_NAME = "step="


def parts_of(path: Path) -> Path:
    """The folder beside a checkpoint that its parts are in."""
    return path.with_name(path.name + _SUFFIX)


def owner_of(folder: Path) -> Path | None:
    """The checkpoint that a folder of parts, or the one around it, belongs to; null: it is no such folder."""
    for place in (folder.resolve(), folder.resolve().parent):
        if place.suffix == _SUFFIX and (owner := place.with_suffix("")).is_file():
            return owner
    return None


def new_name(step: int) -> str:
    """Of a folder of parts, like no other."""
    return f"{_NAME}{step}-{uuid.uuid4().hex[:8]}"


@contextmanager
def new_parts(path: Path, name: str, first: bool = True) -> Iterator[Path]:
    """A new folder of parts, which is removed again if what is within fails.

    Args:
        path: Of the checkpoint.
        name: Of the folder.
        first: Whether this is the first process: no other one knows whether all have failed.
    """
    folder = parts_of(path) / name
    try:
        yield folder
    except BaseException:
        if first:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # others are in it, or it was never there
                folder.parent.rmdir()
        raise


def write_parts(folder: Path, tensors: Mapping[str, Tensor], alone: bool = False) -> None:
    """Writes what this process holds; all take part.

    Args:
        folder: Which is not there yet.
        tensors: By name; the same names on each process.
        alone: Whether there is no other process.

    Raises:
        CannotWriteError: On each process, if one of them cannot write.
    """
    with writing(folder), quiet():
        try:
            save(dict(tensors), storage_writer=_Writer(folder), no_dist=alone)
        except CheckpointException as failed:  # no Exception
            raise next(iter(failed.failures.values()))[0] from failed
        synchronise(folder)
        synchronise(folder.parent)


def remove_parts(path: Path, but: str | None = None) -> None:
    """Removes the parts of a checkpoint that is gone or has been replaced, and nothing else that is beside them.

    Args:
        path: Of the checkpoint.
        but: The folder to keep.
    """
    folder = parts_of(path)
    if not folder.is_dir():
        return
    for place in folder.iterdir():
        if place.name.startswith(_NAME) and place.name != but:
            shutil.rmtree(place, ignore_errors=True)
    if but is None:
        with suppress(OSError):  # something else is in it, or it is a link
            folder.rmdir()


def named(checkpoint: Mapping[str, Any]) -> str | None:
    """The folder of a checkpoint's parts; null: it has none."""
    return checkpoint[PARTS_KEY]["folder"] if PARTS_KEY in checkpoint else None


class _Writer(FileSystemWriter):
    """Makes one line of what fails before it is sent to the other processes, which loses what led to it."""

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        with writing(self.path):
            return super().prepare_local_plan(plan)

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        with writing(self.path):
            return super().write_data(plan, planner)

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        with writing(self.path):
            super().finish(metadata, results)


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's warning that a process works alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        yield
