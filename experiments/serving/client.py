"""Clients that ask for predictions one after the other, each on a connection of its own, with little work of theirs."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field


class UnansweredError(Exception):
    """The server closed the connection, or refused it, without a byte of an answer."""


class CutError(Exception):
    """The server closed the connection amid an answer."""


@dataclass
class Found:
    """What became of the requests of all clients.

    Attributes:
        statuses: Number of answers by status.
        seconds: From each request to its answer.
        unanswered: Requests on connections that the server closed or refused before it answered.
        cut: Requests whose answer was not whole.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    unanswered: int = 0
    cut: int = 0


class Connection:
    """Sends a request after the other to a server on this machine.

    Args:
        port: Of the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def ask(
        self, body: bytes, method: str = "POST", path: str = "/predict", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """The status and the body of an answer."""
        if self._writer is None:
            try:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                raise UnansweredError from error
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = f"{method} {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        try:
            self._writer.write(head.encode("latin-1") + body)
            first = await self._reader.readline()
        except OSError as error:
            raise UnansweredError from error
        if not first:
            raise UnansweredError
        try:
            return int(first.split()[1]), await self._rest()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise CutError from error

    async def _rest(self) -> bytes:
        size, stays = 0, True
        while (line := await self._reader.readuntil(b"\r\n")) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "content-length":
                size = int(value)
            stays &= not (name.lower() == "connection" and value.strip().lower() == "close")
        body = await self._reader.readexactly(size)
        if not stays:
            await self.close()
        return body

    async def close(self) -> None:
        """Closes the connection; the next request opens another one."""
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None


async def load(port: int, bodies: Sequence[bytes], clients: int, seconds: float) -> Found:
    """What becomes of requests from many clients.

    Args:
        port: Of the server.
        bodies: That are sent in turn.
        clients: How many there are.
        seconds: How long they ask; each stops before, once the server does not answer it.
    """
    found, end = Found(), time.perf_counter() + seconds
    await asyncio.gather(*(_client(port, bodies, first, found, end) for first in range(clients)))
    return found


async def _client(port: int, bodies: Sequence[bytes], number: int, found: Found, end: float) -> None:
    connection = Connection(port)
    try:
        while (began := time.perf_counter()) < end:
            status, _ = await connection.ask(bodies[number % len(bodies)])
            found.statuses[status] += 1
            found.seconds.append(time.perf_counter() - began)
            number += 1
    except UnansweredError:
        found.unanswered += 1
    except CutError:
        found.cut += 1
    finally:
        await connection.close()
