"""Where the processes of a run meet before anything is read: who is there, and whether all were started alike."""

import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from torch.distributed import DistStoreError, TCPStore  # type: ignore[attr-defined]

from mtl_lightning.cli.world import World
from mtl_lightning.errors import UserError
from mtl_lightning.terminal import say

_OWN = ("folder", "port")  # what the first process decides
_LOOK = 1.0  # seconds, at most, between two looks whether another process has failed
_QUIET = 20.0  # seconds of waiting before it is said for whom
_LINGER = 10.0  # seconds that a process which fails waits for the others


class Meeting:
    """The store through which torch's processes find each other, used before they do.

    The first process holds it, or torchrun does. It is kept until the end of the command.

    Args:
        found: The processes.

    Attributes:
        timeout: Seconds that the last may come after the first.
    """

    def __init__(self, found: World) -> None:
        self.timeout = 600.0
        self._world = found
        self._host = socket.gethostname()
        self._store: TCPStore | None = None
        self._attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")

    def agree(self, card: Mapping[str, Any]) -> dict[str, Any]:
        """Waits for all processes and compares what they say; returns what the first one says.

        Args:
            card: What this process says, as JSON can hold it; the same everywhere, but for ``folder`` and ``port``.

        Raises:
            UserError: If a process does not come, says something else, or has failed meanwhile.
        """
        size, mine = self._world.size, json.dumps({"host": self._host, **card})
        if self._world.rank == 0:
            self._set("card", mine)
            self._wait([f"found/{rank}" for rank in range(1, size)])
            found = [self._get(f"found/{rank}") for rank in range(1, size)]
            if line := next(filter(None, found), ""):
                raise UserError(line)
            self._set("together", "yes")
            return dict(card)
        self._wait(["card"])
        first: dict[str, Any] = json.loads(self._get("card"))
        self._set(f"found/{self._world.rank}", self._difference(first, json.loads(mine)))
        self._wait(["together"])
        return first

    def free_port(self) -> int | None:
        """One for torch's own store, where torchrun's still holds addresses of processes that it has started again."""
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or self._attempt == "0" or self._world.rank:
            return None
        with socket.socket() as free:
            free.bind(("", 0))
            port: int = free.getsockname()[1]
            return port

    def fail(self, line: str) -> str | None:
        """Lets the others know that this process fails, and returns what it is to say: null where the first one does.

        Args:
            line: What is wrong.
        """
        with suppress(UserError, DistStoreError, RuntimeError):
            return self._failed(line)
        return self._of_this(line)

    def _failed(self, line: str) -> str | None:
        self.timeout = min(self.timeout, _LINGER)
        end = time.monotonic() + self.timeout
        others = [f"left/{rank}" for rank in range(1, self._world.size)]
        if self._world.rank == 0:
            self._set("said", line)
            while time.monotonic() < end and not self._has(others):
                time.sleep(0.1)
            return line
        if not self._has(["failed"]):
            self._set("failed", self._of_this(line))
        while not self._has(["said"]):
            if time.monotonic() > end:
                return self._of_this(line)
            time.sleep(0.1)
        said = self._get("said")
        self._set(f"left/{self._world.rank}", "yes")
        return None if said in (line, self._of_this(line)) else self._of_this(line)

    def _of_this(self, line: str) -> str:
        return line if self._world.rank == 0 else f"process {self._world.rank} on {self._host}: {line}"

    def _difference(self, first: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
        who = f"process {self._world.rank} on {self._host}"
        for key in first.keys() - {"host", *_OWN}:
            there, here = first[key], mine.get(key)
            if there == here:
                continue
            if isinstance(there, dict) and isinstance(here, dict):
                name = next(name for name in (*there, *here) if there.get(name) != here.get(name))
                key, there, here = name, there.get(name), here.get(name)
            return (
                f"{who} was started in another way than process 0 on {first['host']}: {key} is {_short(here)}, there "
                f"{_short(there)}; start all with the same command, files and version"
            )
        return ""

    # -- the store ---------------------------------------------------------------------------------------------------
    @property
    def _opened(self) -> TCPStore:
        if self._store is None:
            self._store = self._open(*_address())
        return self._store

    def _open(self, host: str, port: int) -> TCPStore:
        holds = self._world.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        if not holds:
            self._reach(host, port)
        timeout = timedelta(seconds=self.timeout)
        try:
            return TCPStore(host, port, None, holds, timeout, wait_for_workers=False, multi_tenant=True)
        except (DistStoreError, RuntimeError) as error:
            if holds and "EADDRINUSE" in str(error):
                raise UserError(f"MASTER_PORT: {port} is in use on {self._host}; set another one") from error
            raise UserError(f"MASTER_ADDR: {host}:{port} does not answer; {str(error).splitlines()[0]}") from error

    def _reach(self, host: str, port: int) -> None:
        """Waits until somebody listens there."""
        end = time.monotonic() + self.timeout
        while True:
            try:
                socket.create_connection((host, port), timeout=max(_LOOK, 10.0)).close()
                return
            except socket.gaierror as error:
                raise UserError(
                    f"MASTER_ADDR: {host} is no machine that {self._host} knows; give a name or address that all do"
                ) from error
            except OSError as error:
                if time.monotonic() > end:
                    raise UserError(
                        f"MASTER_ADDR: process 0 does not answer at {host}:{port} within {self.timeout:.0f} s "
                        f"({error.strerror or error}); see that it was started, and that no firewall is between"
                    ) from error
                time.sleep(0.2)

    def _wait(self, keys: list[str]) -> None:
        """Waits for keys, and for somebody's failure."""
        begin, told, pause = time.monotonic(), False, 0.05
        while not self._has(keys):
            for bad in ("said", "failed"):
                if self._has([bad]):
                    raise UserError(self._get(bad))
            passed = time.monotonic() - begin
            if passed > self.timeout:
                raise UserError(
                    f"{self._absent(keys)} not come within {self.timeout:.0f} s; see that the same command runs on "
                    "every node"
                )
            if passed > _QUIET and self._world.rank == 0 and not told:
                say(f"note: waiting: {self._absent(keys)} not come yet", error=True)
                told = True
            time.sleep(pause)
            pause = min(2 * pause, _LOOK)

    def _absent(self, keys: Iterable[str]) -> str:
        ranks = [key.split("/")[1] for key in keys if "/" in key and not self._has([key])]
        named = ", ".join(ranks[:5]) + (", …" if len(ranks) > 5 else "")
        return f"{len(ranks)} of {self._world.size} processes (rank {named}) have" if ranks else "process 0 has"

    def _has(self, keys: list[str]) -> bool:
        return self._opened.check([self._place(key) for key in keys])

    def _place(self, key: str) -> str:
        return f"mtl_lightning/{self._attempt}/{key}"

    def _get(self, key: str) -> str:
        return self._opened.get(self._place(key)).decode()

    def _set(self, key: str, value: str) -> None:
        self._opened.set(self._place(key), value)


def _address() -> tuple[str, int]:
    try:
        return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except KeyError as error:
        raise UserError(f"{error.args[0]} is not set; several processes need MASTER_ADDR and MASTER_PORT") from error
    except ValueError as error:
        raise UserError(f"MASTER_PORT must be a number, found {os.environ['MASTER_PORT']!r}") from error


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 60 else f"{text[:57]}…"
