"""The processes of a server: from LitServe's worker to the last answer."""

import asyncio
import logging
import multiprocessing
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI
from fastapi.routing import APIRoute
from litserve import LitServer
from litserve.connector import check_cuda_with_nvidia_smi
from litserve.utils import wrap_litserve_start
from starlette.exceptions import HTTPException

from mtl_lightning.errors import UserError
from mtl_lightning.serve.api import PredictionAPI
from mtl_lightning.serve.catalogue import Catalogue
from mtl_lightning.serve.connections import BoundedConnection, make_room
from mtl_lightning.serve.metrics import Metrics, MetricsMiddleware
from mtl_lightning.serve.models import is_exported
from mtl_lightning.serve.options import Options
from mtl_lightning.serve.refusals import refused
from mtl_lightning.serve.schema import Schema
from mtl_lightning.serve.spec import PredictionSpec
from mtl_lightning.stopping import Interrupted, followed, held_back

_PATIENCE = 5
"""Seconds beyond ``--timeout`` in which the last answers are sent."""


class Served(NamedTuple):
    """A model that is ready to answer.

    Attributes:
        app: LitServe's.
        spec: What answers.
        processes: The one that computes, and LitServe's with its queue; neither does without the other.
    """

    app: FastAPI
    spec: PredictionSpec
    processes: Sequence[BaseProcess]


@contextmanager
def started(options: Options) -> Iterator[Served]:
    """Starts the process that computes, which ends afterwards.

    Raises:
        UserError: If there is no such model.
    """
    reads, writes = multiprocessing.get_context("spawn").Pipe(duplex=False)
    server, spec = server_of(options, writes)
    with followed(), _workers(server) as processes:
        writes.close()
        catalogue = _reported(reads, server.inference_workers[0].sentinel)
        spec.schema = Schema(catalogue, options.max_text, options.batch_size)
        yield Served(server.app, spec, processes)


def server_of(options: Options, report: Connection) -> tuple[LitServer, PredictionSpec]:
    """LitServe's server, whose processes do not run yet, and what answers its requests.

    Args:
        options: Of the command.
        report: Where the process that computes says what can be asked.
    """
    spec = PredictionSpec(options, Metrics())
    server = LitServer(
        PredictionAPI(options, report, spec=spec),
        accelerator="cpu" if is_exported(options.model) or not check_cuda_with_nvidia_smi() else "cuda",
        devices=1,
        timeout=False,
        max_payload_size=options.max_bytes,
        middlewares=[(MetricsMiddleware, {"metrics": spec.metrics})],
        disable_openapi_url=True,
    )
    _keep_ours(server.app, spec)
    return server, spec


@contextmanager
def _workers(server: LitServer) -> Iterator[Sequence[BaseProcess]]:
    """LitServe's processes. A signal to all of a group means the one that answers, which still needs the others."""
    running, others = wrap_litserve_start(server), multiprocessing.active_children()
    with held_back():
        running.__enter__()
    try:
        yield [each for each in multiprocessing.active_children() if each not in others]
    finally:
        try:
            running.__exit__(None, None, None)
        except (OSError, EOFError):  # the process with the queue was killed
            for worker in server.inference_workers:
                worker.terminate()


def _reported(reads: Connection, sentinel: int) -> Catalogue:
    """What the process that computes says of its model. The end of that process is told by its ``sentinel``; the pipe
    does not tell it, since LitServe's other process, which is forked, has its other end, too.
    """
    wait([reads, sentinel])
    found = None
    with suppress(EOFError):
        found = reads.recv() if reads.poll() else None
    if isinstance(found, Catalogue):
        return found
    ended = "the process that computes has ended before it had read the model, out of memory perhaps"
    raise UserError(ended if found is None else found)


def _keep_ours(app: FastAPI, spec: PredictionSpec) -> None:
    """Leaves out LitServe's own page and ``/info``, says refusals in our words, and gathers batches while it runs."""
    ours = {path for path, *_ in spec.endpoints}
    endpoints = {endpoint for _, endpoint, _ in spec.endpoints}
    app.router.routes[:] = [
        route
        for route in app.router.routes
        if getattr(route, "path", None) == "/health" or getattr(route, "endpoint", None) in endpoints
    ]
    assert ours <= {getattr(route, "path", None) for route in app.router.routes}, "LitServe registered them"
    for route in app.router.routes:
        if isinstance(route, APIRoute) and route.path == "/health":
            route.methods = {"GET", "HEAD"}  # some balancers ask so
    app.router.redirect_slashes = False
    app.add_exception_handler(HTTPException, refused)
    litserves = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with litserves(app), spec.running():
            yield

    app.router.lifespan_context = lifespan


def listening(options: Options) -> socket.socket:
    """A socket at the address that was asked for, and room for its connections.

    Raises:
        UserError: If they cannot be had.
    """
    make_room(options)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        said = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
        raise UserError(f"--host, --port: cannot listen on {options.host}, port {options.port}: {said}") from None


class _Server(uvicorn.Server):
    """Tells what gathers batches that no further requests come."""

    def __init__(self, config: uvicorn.Config, spec: PredictionSpec) -> None:
        super().__init__(config)
        self.spec = spec

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn's."""
        self.spec.batches.hurry()
        await super().shutdown(sockets)


def configuration(app: FastAPI, options: Options) -> uvicorn.Config:
    """How uvicorn answers."""
    return uvicorn.Config(
        app,
        http=partial(BoundedConnection, options),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(options.timeout) + _PATIENCE,
    )


def answer(served: Served, options: Options, place: socket.socket) -> bool:
    """Answers requests until it is asked to stop, and then those that it has accepted.

    Returns:
        Whether it was asked to stop; if not, one of its processes has ended.
    """
    config = configuration(served.app, options)
    server = _Server(config, served.spec)
    ended = False

    async def watch() -> None:
        nonlocal ended
        while all(each.is_alive() for each in served.processes):
            await asyncio.sleep(1)
        ended = server.should_exit = server.force_exit = True
        logging.getLogger(
            "uvicorn.error"
        ).disabled = True  # it would print a traceback for each request that is cut off

    async def serve() -> None:
        watching = asyncio.create_task(watch())
        try:
            await server.serve([place])
        finally:
            watching.cancel()

    with suppress(Interrupted), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())  # at the end, uvicorn sends the signal that it was stopped by once more
    return not ended
