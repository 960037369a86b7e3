"""What processes do that another one has started."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing import connection, parent_process
from typing import Any

from mtl_lightning.stopping.signals import NUMBERS

_LOOK = 1.0  # seconds between two looks at who the parent is


@contextmanager
def held_back() -> Iterator[None]:
    """Holds signals to stop back; in processes that are started within, until :func:`released` or :func:`as_worker`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def released() -> None:
    """Lets signals through that were held back when this process was started."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)


def as_worker() -> None:
    """Makes this process one that works until its parent ends, or ends it; started with signals :func:`held_back`.

    Signals to a whole group of processes, as Ctrl-C and ``timeout`` send them, mean the parent, which still needs what
    its workers have begun. They take note of SIGTERM from their parent alone, which is how ``multiprocessing`` ends
    them; where the system does not say who sent it, of any.
    """
    for number in NUMBERS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    follow_parent(lambda: os._exit(1))
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_wait_for_parents_sigterm, args=(os.getppid(),), daemon=True).start()
    else:
        released()


def follow_parent(ended: Callable[[], Any]) -> None:
    """Calls something, in a thread, when the process ends that has started this one.

    Args:
        ended: What is called, once.
    """
    parent, number = parent_process(), os.getppid()

    def watch() -> None:
        if parent is not None:  # by `multiprocessing`, from itself or from a server
            connection.wait([parent.sentinel])
        else:
            while os.getppid() == number:
                time.sleep(_LOOK)
        ended()

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def followed() -> Iterator[None]:
    """Lets all processes that this one forks within end with it, also if it is killed; those of libraries too.

    They read from a pipe that is never written to: it closes when this process is gone. Nothing happens where
    processes are not forked.
    """
    _follow_forks()
    pipe = os.pipe()
    _PIPES.append(pipe)
    try:
        yield
    finally:
        _PIPES.remove(pipe)
        for end in pipe:
            os.close(end)


_PIPES: list[tuple[int, int]] = []


@cache
def _follow_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_follow_pipes)


def _follow_pipes() -> None:
    """In a process that was forked: another one that it forks has not the end that is closed here."""
    pipes = _PIPES.copy()
    _PIPES.clear()
    for reads, writes in pipes:
        os.close(writes)
        threading.Thread(target=_end_when_closed, args=(reads,), daemon=True).start()


def _end_when_closed(reads: int) -> None:
    os.read(reads, 1)
    os._exit(1)


def _wait_for_parents_sigterm(parent: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
