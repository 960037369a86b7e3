"""Whatever a request holds, it is answered 200 or 4xx."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import tiny_onnx
from hypothesis import HealthCheck, given, settings
from in_process import InProcess

from experiments.serving.malformed import BODIES, HEADERS, METHODS, PATHS

EXAMPLES = 60
"""Requests that are tried; `python -m experiments.serving` tries 2,000, on a server of its own."""


def test_malformed_requests_are_the_clients_mistake(tmp_path: Path) -> None:
    server = InProcess(tiny_onnx.write(tmp_path / "tiny"), batch_wait=0.0)
    statuses: Counter[int] = Counter()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        client = runner.run(stack.enter_async_context(server.client()))

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(METHODS, PATHS, BODIES, HEADERS)
        def send(method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
            coded = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = runner.run(client.request(method, path, content=body, headers=coded))
            statuses[answer.status_code] += 1
            assert answer.status_code == 200 or 400 <= answer.status_code < 500
            assert answer.status_code == 200 or answer.json()["error"]

        send()
        runner.run(stack.aclose())
    assert statuses.keys() >= {400, 422} and sum(statuses.values()) >= EXAMPLES
