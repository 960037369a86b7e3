"""What the processes of a run leave for each other before torch joins them."""

import os
import socket
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta

from torch.distributed import DistStoreError, TCPStore  # type: ignore[attr-defined]

from mtl_lightning.cli.world import World
from mtl_lightning.errors import UserError

_PREFIX = "mtl_lightning"
_PATIENCE = 10.0  # seconds for a machine to accept a connection


class MeetingStore:
    """Short texts by name in the store through which torch's processes find each other.

    The first process holds the store, or ``torchrun`` does. That of torchrun outlives the processes, which it starts
    again when one has failed, and also, without counting that, when a node has joined or is gone. So the first process
    opens a space of its own each time, and tells it to all that ask: nothing that was left before is ever read.

    Args:
        found: The processes.

    Attributes:
        host: Name of this machine.
        timeout: Seconds that a process waits for the first one.
    """

    def __init__(self, found: World) -> None:
        self.host = socket.gethostname()
        self.timeout = 600.0
        self._holds = found.rank == 0 and not is_of_torchrun()
        self._store: TCPStore | None = None
        self._space = uuid.uuid4().hex if found.rank == 0 else None
        self._answers = found.rank == 0
        self._number = 0  # of the last question that was answered, or of the one that was asked

    def has(self, keys: Sequence[str]) -> bool:
        """Whether there is a text of each name."""
        return self._knows_space() and self._opened.check([self._place(key) for key in keys])

    def get(self, key: str) -> str:
        """The text of a name that is there."""
        return self._opened.get(self._place(key)).decode()

    def set(self, key: str, value: str) -> None:
        """Leaves a text.

        Raises:
            UserError: If the first process does not come, without which nobody would read it.
        """
        end = time.monotonic() + self.timeout
        while not self._knows_space():
            if time.monotonic() > end:
                raise UserError(f"process 0 has not come within {self.timeout:.0f} s")
            time.sleep(0.05)
        self._opened.set(self._place(key), value)

    def _place(self, key: str) -> str:
        return f"{_PREFIX}/{self._space}/{key}"

    def _knows_space(self) -> bool:
        """Asks for the space, or answers those who have asked for it."""
        store = self._opened
        if self._answers:
            asked = store.add(f"{_PREFIX}/asked", 0)
            for number in range(self._number + 1, asked + 1):
                store.set(f"{_PREFIX}/answer/{number}", str(self._space))
            self._number = asked
        elif self._space is None:
            self._number = self._number or store.add(f"{_PREFIX}/asked", 1)
            if store.check([answer := f"{_PREFIX}/answer/{self._number}"]):
                self._space = store.get(answer).decode()
        return self._space is not None

    # -- the connection ----------------------------------------------------------------------------------------------
    @property
    def _opened(self) -> TCPStore:
        if self._store is None:
            self._store = self._open(*_address())
        return self._store

    def _open(self, host: str, port: int) -> TCPStore:
        if not self._holds:
            self._reach(host, port)
        timeout = timedelta(seconds=self.timeout)
        try:
            return TCPStore(host, port, None, self._holds, timeout, wait_for_workers=False, multi_tenant=True)
        except (DistStoreError, RuntimeError) as error:
            if self._holds and "EADDRINUSE" in str(error):
                raise UserError(f"MASTER_PORT: {port} is in use on {self.host}; set another one") from error
            raise UserError(f"MASTER_ADDR: {host}:{port} does not answer; {str(error).splitlines()[0]}") from error

    def _reach(self, host: str, port: int) -> None:
        """Waits until somebody listens there."""
        end = time.monotonic() + self.timeout
        while True:
            try:
                socket.create_connection((host, port), timeout=_PATIENCE).close()
                return
            except socket.gaierror as error:
                raise UserError(
                    f"MASTER_ADDR: {host} is no machine that {self.host} knows; give a name or address that all do"
                ) from error
            except OSError as error:
                if time.monotonic() > end:
                    raise UserError(
                        f"MASTER_ADDR: process 0 does not answer at {host}:{port} within {self.timeout:.0f} s "
                        f"({error.strerror or error}); see that it was started, and that no firewall is between"
                        + moved()
                    ) from error
                time.sleep(0.2)


def is_of_torchrun() -> bool:
    """Whether torchrun holds the store."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def moved() -> str:
    """What else may be wrong where torchrun holds the store: torch 2.13 keeps its address when nodes come or go."""
    return "; where nodes come or go, start torchrun with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" * is_of_torchrun()


def free_port() -> int:
    """One that nobody uses on this machine."""
    with socket.socket() as free:
        free.bind(("", 0))
        port: int = free.getsockname()[1]
        return port


def _address() -> tuple[str, int]:
    try:
        return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except KeyError as error:
        raise UserError(f"{error.args[0]} is not set; several processes need MASTER_ADDR and MASTER_PORT") from error
    except ValueError as error:
        raise UserError(f"MASTER_PORT must be a number, found {os.environ['MASTER_PORT']!r}") from error
