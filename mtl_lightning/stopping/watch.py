"""Ends a process that cannot be asked to stop, because it waits in a call of a library."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_PATIENCE = 10.0
"""Seconds for a handler to be called, which Python does in the main thread, between two instructions."""


@contextmanager
def noticed(unheard: Callable[[int], bool]) -> Iterator[None]:
    """Takes note of signals within, and ends the process a while after one that nobody has heard of.

    Processes that wait for each other, or that read a large file, may be minutes in a single call.

    Args:
        unheard: Is given the number of a signal; whether it should have been heard by now.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    over = threading.Event()
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(ours, over, unheard), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        theirs.close()


def end(number: int) -> NoReturn:
    """Ends the process on the spot."""
    os.write(2, f"Stopped by {name_of(number)}\n".encode())
    os._exit(128 + number)


def name_of(number: int) -> str:
    """How a user knows a signal: ``SIGTERM``, or ``signal 99`` where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _watch(ours: socket.socket, over: threading.Event, unheard: Callable[[int], bool]) -> None:
    with ours:
        while number := ours.recv(1):
            if not over.wait(_PATIENCE) and unheard(number[0]):
                end(number[0])


def _notice_nothing() -> None:
    with suppress(ValueError):
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_notice_nothing)  # signals to it are none to its parent
