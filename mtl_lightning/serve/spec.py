"""LitServe's part that answers requests: the endpoints, in front of the queue to the process that computes."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import Request
from litserve.specs.base import LitSpec
from litserve.utils import LitAPIStatus, ResponseBufferItem
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from mtl_lightning.serve.api import Job
from mtl_lightning.serve.batches import Batches, FullError
from mtl_lightning.serve.metrics import Metrics
from mtl_lightning.serve.options import Options
from mtl_lightning.serve.outcomes import Outcome
from mtl_lightning.serve.page import PAGE, PAGE_HEADERS
from mtl_lightning.serve.refusals import Refusal, json_response
from mtl_lightning.serve.schema import Asked, Kind, Schema

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_RETRY = 1
"""Seconds after which one who found the queue full may ask again."""


class PredictionSpec(LitSpec):
    """Checks requests, gathers them into batches, and hands these to LitServe's worker.

    LitServe would batch in the worker, one message a request through a third process: that costs more than a
    prediction. So a batch is one request of LitServe's.

    Args:
        options: Of the command.
        metrics: Where requests are counted.

    Attributes:
        schema: Reads requests; known once the model is there.
        batches: Gathers them, while it runs.
    """

    schema: Schema
    batches: Batches

    def __init__(self, options: Options, metrics: Metrics) -> None:
        super().__init__()
        self.api_path = "/predict"
        self.options, self.metrics = options, metrics
        self.add_endpoint("/predict", self.predict, ["POST"])
        self.add_endpoint("/tasks", self.tasks, ["GET"])
        self.add_endpoint("/metrics", self.counts, ["GET"])
        self.add_endpoint("/", self.page, ["GET"])

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it: the process that computes answers no request."""
        return {"api_path": self.api_path, "response_queue_id": self.response_queue_id}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sends batches within."""
        given = self.options
        self.batches = Batches(self._computed, given.batch_size, given.batch_wait, given.max_waiting)
        self.metrics.watch(lambda: len(self.batches))
        task = asyncio.create_task(self.batches.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def predict(self, request: Request) -> Response:
        """``POST /predict``."""
        asked = self.schema.read(await self._body(request))
        self.metrics.accepted += 1
        try:
            found = await self._asked(asked)
        finally:
            self.metrics.answered += 1
        for number, outcome in enumerate(found):
            if outcome.status != 200:
                raise Refusal(outcome.status, outcome.text, asked.field(number))
        texts = ",".join(outcome.text for outcome in found)
        return Response(f'{{"predictions":{f"[{texts}]" if asked.is_list else texts}}}', media_type="application/json")

    async def tasks(self) -> Response:
        """``GET /tasks``."""
        return json_response(self.schema.catalogue.as_json())

    async def counts(self) -> Response:
        """``GET /metrics``."""
        return Response(self.metrics.text(), headers={"Content-Type": _METRICS_TYPE})

    async def page(self) -> Response:
        """``GET /``."""
        return Response(PAGE, headers=PAGE_HEADERS, media_type="text/html")

    async def _body(self, request: Request) -> bytes:
        limit = self.options.timeout
        try:
            async with asyncio.timeout(limit):
                return await request.body()
        except TimeoutError:
            raise Refusal(408, f"the body did not come within {limit:g} s (--timeout); send less, or faster") from None
        except ClientDisconnect:
            raise Refusal(400, "the client went away before all of the body had come") from None
        except HTTPException as error:
            if error.status_code != 413:
                raise
            most = self.options.max_bytes
            said = f"the body has more than {most:,} bytes (--max_bytes); send several requests, or shorter inputs"
            raise Refusal(413, said, headers={"Connection": "close"}) from None

    async def _asked(self, asked: Asked) -> Sequence[Outcome]:
        limit = self.options.timeout
        try:
            async with asyncio.timeout(limit):
                return await self.batches.ask(asked.kind, asked.examples)
        except FullError:
            most = self.options.max_waiting
            said = f"{most} requests wait already (--max_waiting); ask again in {_RETRY} s, and then less often"
            raise Refusal(429, said, headers={"Retry-After": str(_RETRY)}) from None
        except TimeoutError:
            said = f"no prediction within {limit:g} s (--timeout), {len(self.batches)} requests wait"
            raise Refusal(504, f"{said}; ask again later, or for less") from None

    async def _computed(self, kind: Kind, examples: Sequence[Any]) -> Sequence[Outcome]:
        began = time.perf_counter()
        columns = {name: [example[name] for example in examples] for name in kind.inputs}
        found: Sequence[Outcome] = await self._sent(Job(columns, kind.tasks))
        self.metrics.batch_size.observe(len(examples))
        self.metrics.batch_seconds.observe(time.perf_counter() - began)
        return found

    async def _sent(self, job: Job) -> Any:
        """What LitServe's worker makes of a payload."""
        uid, event = str(uuid.uuid4()), asyncio.Event()
        self.response_buffer[uid] = ResponseBufferItem(event)
        try:
            self.request_queue.put((self.response_queue_id, uid, time.monotonic(), job))
            await event.wait()
            response, status = self.response_buffer[uid].response
        finally:
            del self.response_buffer[uid]
        if status == LitAPIStatus.ERROR:
            raise Refusal(500, "the model failed on these inputs, see the log of the server")
        return response
