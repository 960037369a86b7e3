"""A server that is measured."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple

import psutil

_LAST = re.compile(r"Stopped; ([\d,]+) of ([\d,]+) accepted")


class Server(NamedTuple):
    """One that answers.

    Attributes:
        process: The one that was started.
        port: Where it listens.
    """

    process: subprocess.Popen[str]
    port: int

    def resident(self) -> int:
        """Bytes of memory of all its processes."""
        first = psutil.Process(self.process.pid)
        return sum(each.memory_info().rss for each in [first, *first.children(recursive=True)])

    def stop(self) -> tuple[int, int, int]:
        """Asks it to stop.

        Returns:
            Its exit status; and how many requests it has answered, and accepted, as it says.
        """
        self.process.send_signal(signal.SIGTERM)
        printed, _ = self.process.communicate(timeout=120)
        last = _LAST.search(printed)
        answered, accepted = (int(each.replace(",", "")) for each in last.groups()) if last else (-1, -1)
        return self.process.returncode, answered, accepted


@contextmanager
def serving(model: str, options: Sequence[str]) -> Iterator[Server]:
    """A server of a model, with some options, as a user starts it."""
    command = [sys.executable, "-m", "mtl_lightning", "serve", model, "--port", "0", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield Server(process, _port(process.stdout))
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def _port(lines: IO[str]) -> int:
    for line in lines:
        if found := re.search(r"Serving .*:(\d+)$", line):
            return int(found[1])
    raise SystemExit("the server has not started; see above")
