"""Runs a plan: starts what may start, takes note of what has ended, shows how far it is."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mtl_lightning.compare.agenda import Agenda
from mtl_lightning.compare.launchers import Ended, Launcher
from mtl_lightning.compare.progress import Progress
from mtl_lightning.compare.store import Store

_EVERY = 0.5  # seconds between two looks


def conduct(agenda: Agenda, store: Store, launcher: Launcher, progress: Progress) -> bool:
    """Does all runs of an agenda.

    Args:
        agenda: What is to be run.
        store: Where the runs are.
        launcher: What runs them.
        progress: Shows how far they are.

    Returns:
        Whether it came to its end; if not, it was asked to stop, and all runs have stopped with a checkpoint.
    """
    try:
        with _termination_as_interrupt(), progress:
            while True:
                _start(agenda, store, launcher)
                progress.show(agenda, launcher.running())
                if not launcher.running():
                    return True
                for ended in launcher.ended(_EVERY):
                    _take(ended, agenda, store)
                    progress.tell(ended.run, store.result(ended.run) or {})
    except KeyboardInterrupt:
        progress.say("Stopping; the runs under way write a checkpoint to go on from.")
        with suppress(KeyboardInterrupt):
            launcher.stop()
        return False


def _start(agenda: Agenda, store: Store, launcher: Launcher) -> None:
    while launcher.free() and (run := agenda.next()) is not None:
        launcher.start(run, store.prepare(run))


def _take(ended: Ended, agenda: Agenda, store: Store) -> None:
    if store.result(ended.run) is None:
        status, message = ended.status or "failed", ended.message or "it ended and left no result"
        store.fail(ended.run, status, message, ended.seconds)
    agenda.done(ended.run)


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Lets SIGTERM do what Ctrl-C does."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
