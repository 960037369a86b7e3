"""A server without processes of its own, asked through ASGI."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import httpx
from litserve.utils import LitAPIStatus

from mtl_lightning.decoded_limits import DecodedLimits, decoded_within
from mtl_lightning.serve.api import Job
from mtl_lightning.serve.models import opened
from mtl_lightning.serve.options import Options
from mtl_lightning.serve.outcomes import outcomes
from mtl_lightning.serve.running import server_of
from mtl_lightning.serve.schema import Schema


class InProcess:
    """Stands for LitServe's queue: computes a batch as soon as it is sent, unless batches are held.

    Args:
        folder: Of the model.
        options: Of the command.

    Attributes:
        jobs: Batches that were sent.
        hold: Whether they are computed.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.options = Options(str(folder), **options)
        self.server, self.spec = server_of(self.options, Pipe()[1])
        self.model, catalogue = opened(self.options, "cpu")
        self.spec.schema = Schema(catalogue, self.options.max_text, self.options.batch_size)
        self.spec.response_buffer, self.spec.request_queue, self.spec.response_queue_id = {}, self, 0
        self.jobs: list[Job] = []
        self.hold = False

    def put(self, message: tuple[int, str, float, Job]) -> None:
        _, uid, _, job = message
        self.jobs.append(job)
        if not self.hold:
            item = self.spec.response_buffer[uid]
            with decoded_within(DecodedLimits(self.options.max_pixels, self.options.max_samples)):
                item.response = (outcomes(self.model, *job), LitAPIStatus.OK)
            item.event.set()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.server.app)
        async with self.spec.running(), httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            yield client

    def ask(self, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        """Answers to requests that are sent at once, each a method, a path and arguments of httpx."""

        async def asked() -> list[httpx.Response]:
            async with self.client() as client:
                return await asyncio.gather(*(client.request(m, path, **more) for m, path, more in requests))

        return run(asked())

    def predict(self, **body: Any) -> httpx.Response:
        return self.ask(("POST", "/predict", {"json": body}))[0]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """What becomes of asynchronous work, within a minute."""

    async def bounded() -> Any:
        return await asyncio.wait_for(work, 60)

    return asyncio.run(bounded())
