"""Runs a function on several processes that meet on this machine."""

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from experiments.benchmark.measure import keep_freed_memory

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Failure:
    """What a process says of its exception."""

    message: str


def together(
    world: int, work: Callable[..., Result], *arguments: Any, backend: str = "gloo", limit: float | None = None
) -> Result:
    """Calls a function on each of several processes, with one thread each; returns what the first one does.

    Args:
        world: How many.
        work: A function of a module.
        arguments: Of the function.
        backend: Through which they talk.
        limit: Seconds that they may take; null: any.

    Raises:
        RuntimeError: If one of them fails, with its message, or if they take longer.
    """
    context = multiprocessing.get_context("forkserver")  # what they import, it imports once
    context.set_forkserver_preload([work.__module__])
    receiver, sender = context.Pipe(duplex=False)
    with TemporaryDirectory() as folder:
        given = (world, Path(folder) / "meeting", backend, work, arguments, sender)
        workers = [context.Process(target=_run, args=(rank, *given)) for rank in range(world)]
        for worker in workers:
            worker.start()
        sender.close()
        found = _answer(receiver, limit)
        for worker in workers:
            if isinstance(found, _Failure):
                worker.kill()
            worker.join()
    if isinstance(found, _Failure):
        raise RuntimeError(found.message)
    return found  # type: ignore[no-any-return]


def _answer(receiver: Connection, limit: float | None) -> Any:
    if not receiver.poll(limit):
        return _Failure(f"no answer in {limit:.0f} s")
    try:
        return receiver.recv()
    except EOFError:
        return _Failure("all processes have died")


def _run(
    rank: int,
    world: int,
    meeting: Path,
    backend: str,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    sender: Connection,
) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        dist.init_process_group(backend, init_method=f"file://{meeting}", rank=rank, world_size=world)
        found = work(*arguments)
        if rank == 0:
            sender.send(found)
        dist.destroy_process_group()
    except Exception as error:
        sender.send(_Failure(f"{type(error).__name__}: {error}"))
