"""What Prometheus may ask."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mtl_lightning.serve.refusals import PATHS

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counts of one server.

    Attributes:
        accepted: Requests for predictions that passed all checks.
        answered: Those of them that have an answer, whatever it is.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mtl_requests", "Requests, by path and status", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "mtl_request_seconds", "From a request to its answer", ["path"], buckets=_SECONDS, registry=self.registry
        )
        self.batch_size = Histogram("mtl_batch_size", "Inputs computed at once", buckets=_SIZES, registry=self.registry)
        self.batch_seconds = Histogram(
            "mtl_batch_seconds", "From a batch to its predictions", buckets=_SECONDS, registry=self.registry
        )
        self._waiting = Gauge("mtl_waiting_requests", "Requests that wait for a batch", registry=self.registry)
        ProcessCollector(registry=self.registry)
        self.accepted = self.answered = 0

    def watch(self, waiting: Callable[[], int]) -> None:
        """Says who knows how many requests wait."""
        self._waiting.set_function(waiting)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class MetricsMiddleware:
    """Counts requests.

    Args:
        app: What answers them.
        metrics: Where they are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, and takes note of its status and time."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in PATHS else "other"
        status, began = 500, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - began)
