"""Requests that ask for the same, gathered into batches."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mtl_lightning.serve.outcomes import Outcome

AHEAD = 2
"""Batches that are under way: one is computed, and the next one is there when it is done."""

Compute = Callable[[Any, Sequence[Any]], Awaitable[Sequence[Outcome]]]
"""Takes what a batch has in common and its inputs, and gives what becomes of each."""


class FullError(Exception):
    """As many requests wait as may."""


@dataclass(eq=False)
class _Waiting:
    kind: Hashable
    inputs: Sequence[Any]
    answer: asyncio.Future[Sequence[Outcome]]
    since: float


class Batches:
    """Gathers requests of a kind while batches are computed, the oldest first.

    Args:
        compute: Computes a batch.
        size: Inputs of a batch, at most.
        wait: Seconds that a request waits for others where a batch could be computed at once.
        most: Requests that may wait.
    """

    def __init__(self, compute: Compute, size: int, wait: float, most: int) -> None:
        self._compute = compute
        self._size, self._wait, self._most = size, wait, most
        self._waiting: deque[_Waiting] = deque()
        self._inputs: Counter[Hashable] = Counter()
        self._changed = asyncio.Event()
        self._room = asyncio.Semaphore(AHEAD)
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Requests that wait; those whose batch is under way do not."""
        return len(self._waiting)

    async def ask(self, kind: Hashable, inputs: Sequence[Any]) -> Sequence[Outcome]:
        """What becomes of the inputs of a request; who is cancelled waits no more.

        Args:
            kind: What it has in common with those that it can be computed with.
            inputs: No more than a batch may have.

        Raises:
            FullError: If too many wait.
        """
        if len(self._waiting) >= self._most:
            raise FullError
        loop = asyncio.get_running_loop()
        one = _Waiting(kind, inputs, loop.create_future(), loop.time())
        self._waiting.append(one)
        self._inputs[kind] += len(inputs)
        self._changed.set()
        try:
            return await one.answer
        finally:
            with suppress(ValueError):
                self._waiting.remove(one)
                self._count(one)

    def hurry(self) -> None:
        """Waits no more: no further requests come."""
        self._wait = 0.0
        self._changed.set()

    async def run(self) -> None:
        """Sends batches until it is cancelled."""
        while True:
            await self._room.acquire()
            try:
                batch = await self._next()
            except asyncio.CancelledError:
                self._room.release()
                raise
            task = asyncio.create_task(self._answer(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _next(self) -> list[_Waiting]:
        """The next batch, once it is full or its first request has waited long enough."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            if self._waiting:
                first = self._waiting[0]
                left = first.since + self._wait - loop.time()
                if left <= 0 or self._inputs[first.kind] >= self._size:
                    return self._taken(first.kind)
            with suppress(TimeoutError):
                async with asyncio.timeout(left if self._waiting else None):
                    await self._changed.wait()

    def _taken(self, kind: Hashable) -> list[_Waiting]:
        taken, left, room = list[_Waiting](), deque[_Waiting](), self._size
        for one in self._waiting:
            fits = one.kind == kind and len(one.inputs) <= room
            (taken if fits else left).append(one)
            room -= len(one.inputs) if fits else 0
        self._waiting = left
        for one in taken:
            self._count(one)
        return taken

    def _count(self, gone: _Waiting) -> None:
        self._inputs[gone.kind] -= len(gone.inputs)
        if not self._inputs[gone.kind]:
            del self._inputs[gone.kind]

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        try:
            found = await self._compute(batch[0].kind, [each for one in batch for each in one.inputs])
            place = 0
            for one in batch:
                if not one.answer.done():
                    one.answer.set_result(found[place : place + len(one.inputs)])
                place += len(one.inputs)
        except Exception as error:  # each request says it
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
        finally:
            self._room.release()
