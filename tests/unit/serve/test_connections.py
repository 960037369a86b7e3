"""Connections are bounded in number, in time and in the size of what comes before a body."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from in_process import InProcess, run

from mtl_lightning.errors import UserError
from mtl_lightning.serve.connections import HEAD, make_room
from mtl_lightning.serve.options import Options
from mtl_lightning.serve.running import configuration, listening

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Opener = Callable[[], Awaitable[Streams]]


@asynccontextmanager
async def answering(folder: Path, patience: float = 60, **options: Any) -> AsyncIterator[Opener]:
    """Opens connections to a server on this machine."""
    inner = InProcess(folder, port=0, batch_wait=0.0, timeout=patience, **options)
    config = configuration(inner.server.app, inner.options)
    config.lifespan, config.timeout_keep_alive = "off", min(5, patience)  # type: ignore[assignment]
    server = uvicorn.Server(config)
    with listening(inner.options) as place:
        async with inner.spec.running():
            task = asyncio.create_task(server.serve([place]))
            opened: list[asyncio.StreamWriter] = []

            async def connection() -> Streams:
                reader, writer = await asyncio.open_connection(*place.getsockname()[:2])
                opened.append(writer)
                return reader, writer

            try:
                yield connection
            finally:
                for writer in opened:
                    writer.close()
                server.should_exit = True
                await task


async def asked(streams: Streams, body: dict[str, Any] | None = None, more: str = "", path: str = "/predict") -> Any:
    """The status of an answer and what it holds."""
    reader, writer = streams
    content = b"" if body is None else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(content)}\r\n{more}\r\n".encode())
    writer.write(content)
    return await answer(reader)


async def answer(reader: asyncio.StreamReader) -> Any:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    found = re.search(r"content-length: (\d+)", head)
    assert found is not None
    return int(head.split()[1]), json.loads(await reader.readexactly(int(found[1])))


def test_one_connection_too_many_is_refused_and_room_is_made_again(folder: Path) -> None:
    async def crowd() -> None:
        async with answering(folder, max_connections=2) as connect:
            first, second = await connect(), await connect()
            for each in (first, second):  # both are known to be open
                assert (await asked(each, {"text": "glad"}))[0] == 200
            reader, _ = await connect()
            status, said = await answer(reader)
            assert status == 429 and "2 connections are open (--max_connections)" in said["error"]
            assert await reader.read() == b""
            assert (await asked(first, {"text": "glad"}))[0] == 200
            second[1].close()
            await second[1].wait_closed()
            status = 0
            while status != 200:  # it takes the server a moment to notice
                with suppress(OSError, asyncio.IncompleteReadError):  # it was refused before it asked
                    status, _ = await asked(await connect(), {"text": "sad"})

    run(crowd())


@pytest.mark.parametrize("sent", [b"", b"POST /predict HTTP/1.1\r\nHo"], ids=["nothing", "half-a-head"])
def test_a_connection_that_asks_nothing_is_closed(folder: Path, sent: bytes) -> None:
    async def wait() -> None:
        async with answering(folder, patience=0.05) as connect:
            reader, writer = await connect()
            writer.write(sent)
            assert await reader.read() == b""

    run(wait())


def test_what_comes_before_a_body_is_bounded_and_the_body_is_not_counted(folder: Path) -> None:
    async def large() -> None:
        async with answering(folder, max_text=3 * HEAD) as connect:
            streams = await connect()
            assert (await asked(streams, {"text": "a" * 2 * HEAD}))[0] == 200
            assert (await asked(streams, {"text": "glad"}))[0] == 200
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\n")
            for _ in range(3):
                writer.write(b"x: " + b"y" * HEAD + b"\r\n")
            status, said = await answer(reader)
            assert status == 431 and "bytes before its body" in said["error"]

    run(large())


def test_a_server_has_room_for_its_connections_or_says_that_it_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    limits = [(100, 2000)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, found: limits.append(found))
    make_room(Options("m", max_connections=1000))
    assert limits[-1] == (1128, 2000)
    make_room(Options("m", max_connections=10))
    assert limits[-1] == (1128, 2000)
    with pytest.raises(UserError, match=r"--max_connections: 5,000 .* 5,128 files, .* may have 2,000 open"):
        make_room(Options("m", max_connections=5000))
