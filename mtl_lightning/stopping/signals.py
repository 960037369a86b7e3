"""Signals that ask a command to stop."""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mtl_lightning.stopping.watch import end, noticed
from mtl_lightning.terminal import say

NUMBERS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)
"""Ctrl-C; what ``kill``, ``timeout``, systemd and job systems send; a terminal that is closed; a job's warnings."""

_ONE_REQUEST = 1.0
"""Seconds within which signals are one request: ``timeout`` sends its own twice, other senders to each process."""

_TAKEN_OVER = (signal.SIGINT, signal.SIGTERM)
"""Taken over from other handlers, such as Lightning's; the rest only from the system's own, which ends the process."""


class Interrupted(SystemExit):
    """A command that was asked to stop stops.

    Its ``code`` is the exit status: 128 and the number of the signal; 0 on the further processes of a run that stop
    together with the first one (which launchers would otherwise end before it has done all it has to).

    Args:
        code: Exit status.
        said: Whether the user has been told what became of the work.
    """

    code: int

    def __init__(self, code: int, said: bool = False) -> None:
        super().__init__(code)
        self.said = said


class Signals:
    """Listens for the signals of :data:`NUMBERS`; raises :class:`Interrupted` at once, or when there is a good moment.

    A good moment is the end of :meth:`deferred`; until then only a second Ctrl-C stops at once. A signal that the
    process was started to ignore, as by ``nohup``, stays ignored.

    Attributes:
        received: Number of the first signal that came, 0 for none.
        raised: Whether :class:`Interrupted` was raised for it. Another error after that is a consequence.
    """

    def __init__(self) -> None:
        self.received = 0
        self.raised = False
        self._since = 0.0
        self._process = 0
        self._deferred: list[str] = []
        self._nothing_to_lose = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listens within, unless it does already, or this is not the main thread, which alone may have handlers."""
        mine = {number: signal.getsignal(number) for number in NUMBERS}
        if self._process == os.getpid() or threading.current_thread() is not threading.main_thread():
            yield
            return
        self.received, self.raised, self._process = 0, False, os.getpid()
        taken = {number: before for number, before in mine.items() if _may_be_taken(number, before)}
        for number in taken:
            signal.signal(number, self._handle)
        try:
            with noticed(self._is_unheard):
                yield
        finally:
            self.received, self.raised, self._process = 0, False, 0
            for number, before in taken.items():
                signal.signal(number, before)

    @contextmanager
    def deferred(self, said: str) -> Iterator[None]:
        """Lets what is within come to its end first; then raises :class:`Interrupted` if a signal has come meanwhile.

        Args:
            said: What is printed when one comes.
        """
        before = self.received
        self._deferred.append(said)
        try:
            yield
        finally:
            self._deferred.remove(said)
        if self.received and not before and not self._deferred:
            raise Interrupted(128 + self.received, said=True)

    @contextmanager
    def nothing_to_lose(self) -> Iterator[None]:
        """Ends the process on the spot, within: modules that are half imported may catch anything, and break later."""
        self._nothing_to_lose = True
        try:
            yield
        finally:
            self._nothing_to_lose = False

    def _is_unheard(self, number: int) -> bool:
        """Whether a signal has come a while ago that should have stopped the command at once."""
        return signal.getsignal(number) == self._handle and not (self.received or self._deferred)

    def check(self) -> None:
        """Raises :class:`Interrupted` if a signal has come, which some library may have caught."""
        if self.received and not self._deferred:
            raise Interrupted(128 + self.received)

    def _handle(self, number: int, frame: Any) -> None:
        if self._process != os.getpid():  # a process that was forked, to which this means nothing
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        first, self.received = not self.received, self.received or number
        if number != signal.SIGINT and not first and (self._deferred or time.monotonic() < self._since + _ONE_REQUEST):
            return
        self._since = time.monotonic()
        if number == getattr(signal, "SIGHUP", None):
            _leave_lost_terminal()
        if self._nothing_to_lose:
            end(number)
        if not self._deferred or not first:
            self.raised = True
            raise Interrupted(128 + self.received)
        with suppress(OSError, RuntimeError):  # somebody is printing just now
            say(f"\n{self._deferred[-1]}; Ctrl-C {_again(number)}to stop at once.", error=True)


SIGNALS = Signals()
"""Those of this process: a process has one handler for each signal."""


def _leave_lost_terminal() -> None:
    """Drops what is printed from now on where it would be an error, since the terminal was closed."""
    for stream in (1, 2):
        try:
            os.ttyname(stream)
        except OSError as error:
            if error.errno == errno.EIO:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def _again(number: int) -> str:
    return "once more " if number == signal.SIGINT else ""


def _may_be_taken(number: int, before: Callable[..., Any] | int | None) -> bool:
    return before == signal.SIG_DFL or (number in _TAKEN_OVER and before not in (signal.SIG_IGN, None))
