"""Connections: how many may be open, and how long and how large what comes before a body may be."""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mtl_lightning.errors import UserError
from mtl_lightning.serve.options import Options
from mtl_lightning.strict_json import to_json

HEAD = 65_536
"""Bytes of a request's line and headers, at most."""

_RETRY = 1
"""Seconds after which one who found all connections taken may ask again."""

_OTHER_FILES = 128
"""Files that a server has open beside its connections, at most."""


class BoundedConnection(HttpToolsProtocol):
    """A connection, of which some number may be open; the next one is refused.

    One that brings no whole head of a request within the time limit of a request is closed, so that those who say
    nothing, or a letter a second, take no place from others.

    Args:
        options: Of the command.
        arguments: Of uvicorn's protocol.
        settings: Of uvicorn's protocol.
    """

    def __init__(self, options: Options, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._most = options.max_connections
        self._patience = max(options.timeout, self.timeout_keep_alive)
        self._is_in_head, self._head_size, self._waits_since = False, 0, self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._refuse(429, f"{self._most} connections are open (--max_connections); ask again")
        self.loop.call_later(self._patience, self._look)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._head_size = self._head_size + len(data) if self._is_in_head else 0
        if self._head_size > HEAD:
            self._refuse(431, f"the request has more than {HEAD:,} bytes before its body; shorten its headers")

    def on_message_begin(self) -> None:
        self._is_in_head, self._waits_since = True, self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        self._waits_since = self.loop.time()
        super().on_response_complete()

    def _look(self) -> None:
        """Closes the connection if its next request has not come for too long, or looks again later."""
        if self.transport.is_closing():
            return
        is_waiting = self.cycle is None or self.cycle.response_complete
        left = self._patience - (self.loop.time() - self._waits_since if is_waiting else 0)
        if left <= 0:
            self.transport.close()
        else:
            self.loop.call_later(left, self._look)

    def _refuse(self, status: int, message: str) -> None:
        body = to_json({"error": message}).encode()
        lines = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"Retry-After: {_RETRY}",
            "Connection: close",
        )
        self.transport.write("\r\n".join((*lines, "\r\n")).encode() + body)
        self.transport.close()


def make_room(options: Options) -> None:
    """Lets this process have as many files open as its connections need.

    Raises:
        UserError: If it may not.
    """
    with suppress(ImportError):  # on Windows there is no such limit
        import resource

        needed = options.max_connections + _OTHER_FILES
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise UserError(
                f"--max_connections: {options.max_connections:,} connections and what else a server opens need "
                f"{needed:,} files, and this process may have {hard:,} open (ulimit -Hn); lower it"
            )
        if soft != resource.RLIM_INFINITY and soft < needed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
