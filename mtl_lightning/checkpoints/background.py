"""Checkpoints that are written while training goes on."""

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import torch
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch import Trainer
from torch import Tensor

from mtl_lightning.checkpoints.io import AtomicCheckpointIO


class BackgroundCheckpointIO(AtomicCheckpointIO):
    """Copies a checkpoint to the host, and writes the copy in a thread; at most one is under way.

    It is given to the trainer as a plugin. The host holds a copy of the state (parameters, optimizer) as long as the
    run lasts. Differences from Lightning's ``AsyncCheckpointIO``: checkpoints do not queue up; the copy is on the host
    and keeps tied parameters tied; one that cannot be written ends the run before the next batch (by
    :class:`~mtl_lightning.callbacks.LastCheckpoint`); what it replaces is removed once it is in its place.
    """

    def __init__(self) -> None:
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._after: list[Callable[[], None]] = []
        self._copies: dict[int, list[Tensor]] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Takes the checkpoint as it is now.

        Raises:
            CannotWriteError: If the one before could not be written.
        """
        self.wait()
        self._writer = self._writer or ThreadPoolExecutor(1, "checkpoint")
        copy, ready = self._copied(checkpoint)
        self._writing = self._writer.submit(self._write, copy, ready, path, storage_options)

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Reads a checkpoint, when what is under way is written."""
        self.wait()
        return super().load_checkpoint(*args, **kwargs)

    def remove_checkpoint(self, path: _PATH) -> None:
        """Removes a checkpoint, when what is under way is written."""
        remove = super().remove_checkpoint
        self.after(lambda: remove(path))

    def after(self, action: Callable[[], None]) -> None:
        """Does something once all checkpoints are in their places."""
        if self._writing is None:
            action()
        else:
            self._after.append(action)

    def check(self) -> None:
        """Raises what kept a checkpoint from being written, without waiting for one that is under way."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Waits until all is written.

        Raises:
            CannotWriteError: If that cannot be.
        """
        writing, self._writing = self._writing, None
        actions, self._after = self._after, []
        if writing is not None:
            writing.result()
            for action in actions:
                action()

    def teardown(self) -> None:
        """Waits until all is written; where the run ends by another error, that one is raised and no second one."""
        failing = sys.exc_info()[1] is not None
        try:
            self.wait()
        except Exception:
            if not failing:
                raise
        if self._writer is not None:
            self._writer.shutdown()
        self._writer, self._copies = None, {}

    def _write(self, copy: dict[str, Any], ready: list[torch.cuda.Event], path: _PATH, options: Any) -> None:
        for event in ready:
            event.synchronize()
        super().save_checkpoint(copy, path, options)

    def _copied(self, checkpoint: dict[str, Any]) -> tuple[dict[str, Any], list[torch.cuda.Event]]:
        """A copy on the host, and what to wait for until it is complete; steps that come later do not change it."""
        free, self._copies = self._copies, {}
        storages: dict[tuple[str, int], Tensor] = {}
        memo: dict[int, Any] = {}
        for tensor in _tensors(checkpoint):
            if tensor.layout is torch.strided and type(tensor) is Tensor and not (tensor.is_conj() or tensor.is_neg()):
                key = str(tensor.device), tensor.untyped_storage().data_ptr()
                if key not in storages or not key[1]:
                    storages[key] = self._copy_of(tensor, free)
                memo[id(tensor)] = _like(tensor, storages[key])
        devices = {tensor.device for tensor in _tensors(checkpoint) if tensor.is_cuda}
        events = [torch.cuda.current_stream(device).record_event() for device in devices]
        return deepcopy(checkpoint, memo), events

    def _copy_of(self, tensor: Tensor, free: dict[int, list[Tensor]]) -> Tensor:
        """The bytes of a tensor's storage, in memory that an earlier checkpoint has left where there is some."""
        storage = tensor.untyped_storage()
        fitting = free.get(storage.nbytes(), [])
        copy = next((each for each in fitting if each.is_pinned() == tensor.is_cuda), None)
        if copy is None:
            copy = torch.empty(storage.nbytes(), dtype=torch.uint8, pin_memory=tensor.is_cuda)
        else:
            fitting[:] = [each for each in fitting if each is not copy]
        self._copies.setdefault(storage.nbytes(), []).append(copy)
        copy.untyped_storage().copy_(storage, non_blocking=tensor.is_cuda)
        return copy


def background(trainer: Trainer) -> BackgroundCheckpointIO | None:
    """What writes a trainer's checkpoints, if it does so in the background."""
    found = trainer.strategy.checkpoint_io
    return found if isinstance(found, BackgroundCheckpointIO) else None


def _tensors(item: Any) -> Iterator[Tensor]:
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, Mapping):
        for value in item.values():
            yield from _tensors(value)
    elif isinstance(item, list | tuple):
        for value in item:
            yield from _tensors(value)


def _like(tensor: Tensor, copy: Tensor) -> Tensor:
    """The same view of the copy of its storage."""
    view = torch.empty(0, dtype=tensor.dtype)
    view.set_(copy.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())
    return view.requires_grad_(tensor.requires_grad)
