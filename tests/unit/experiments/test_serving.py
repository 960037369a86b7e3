"""The load test tells answers from requests that were cut or never answered, and judges what it finds."""

import asyncio
from typing import Any

import pytest

from experiments.serving.__main__ import is_good
from experiments.serving.client import Connection, CutError, UnansweredError, load

GOOD = {
    "malformed": {"200": 3, "422": 7},
    "stopped": {"accepted": 5, "answered": 5, "received": 5, "cut": 0, "exit_status": 0},
    "growth": {"growth": 0.01},
}


def test_answers_are_told_from_what_is_none() -> None:
    answers = {
        b"whole": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"cut": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        b"none": b"",
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            body = await reader.read(5)
            writer.write(answers[body])
            if body != b"whole":
                break
        writer.close()

    async def work() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            connection = Connection(port)
            assert await connection.ask(b"whole") == (200, b"ok") == await connection.ask(b"whole")
            with pytest.raises(CutError):
                await connection.ask(b"cut")
            await connection.close()
            with pytest.raises(UnansweredError):
                await connection.ask(b"none")
            await connection.close()
            found = await load(port, [b"whole", b"cut", b"none"], 3, 60)
        assert (found.statuses, found.cut, found.unanswered) == ({200: 1}, 2, 1) and len(found.seconds) == 1

    asyncio.run(asyncio.wait_for(work(), 60))


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("malformed", {"500": 1}),
        ("malformed", {"none": 1}),
        ("stopped", {"received": 4}),
        ("stopped", {"answered": 4}),
        ("stopped", {"cut": 1}),
        ("stopped", {"exit_status": 1}),
        ("growth", {"growth": 0.021}),
    ],
)
def test_a_loss_a_fault_and_growth_are_judged(part: str, change: dict[str, Any]) -> None:
    assert is_good(GOOD)
    assert not is_good({**GOOD, part: {**GOOD[part], **change}})
