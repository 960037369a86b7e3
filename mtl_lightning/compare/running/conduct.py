"""Runs a plan: starts what may start, takes note of what has ended, shows how far it is."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.launchers import Ended, Launcher
from mtl_lightning.compare.running.progress import Progress
from mtl_lightning.compare.running.store import Store
from mtl_lightning.stopping import Interrupted

_EVERY = 0.5  # seconds between two looks


def conduct(agenda: Agenda, store: Store, launcher: Launcher, progress: Progress) -> int:
    """Does all runs of an agenda.

    Args:
        agenda: What is to be run.
        store: Where the runs are.
        launcher: What runs them.
        progress: Shows how far they are.

    Returns:
        0 if it came to its end; if it was asked to stop, the exit status, and all runs have stopped with a checkpoint.

    Raises:
        UserError: If another comparison is at work in the folder, or the launcher cannot start a run.
    """
    with store.locked():
        try:
            with progress:
                _conduct(agenda, store, launcher, progress)
                return 0
        except Interrupted as stopped:
            progress.say("Stopping; the runs under way write a checkpoint to resume from.")
            return stopped.code
        finally:
            with suppress(Interrupted):
                launcher.stop()


def _conduct(agenda: Agenda, store: Store, launcher: Launcher, progress: Progress) -> None:
    while True:
        _start(agenda, store, launcher)
        progress.show(agenda, launcher.running())
        if not launcher.running() and not agenda.waits():
            return
        for ended in launcher.ended(_EVERY):
            progress.tell(ended.run, _take(ended, agenda, store))


def _start(agenda: Agenda, store: Store, launcher: Launcher) -> None:
    while launcher.free() and (run := agenda.next()) is not None:
        launcher.start(run, store.prepare(run))


def _take(ended: Ended, agenda: Agenda, store: Store) -> Mapping[str, Any]:
    """Takes note of what a run came to."""
    if store.result(ended.run) is None:
        status, message = ended.status or "failed", ended.message or "it ended and left no result"
        store.fail(ended.run, status, message, ended.seconds)
    agenda.done(ended.run)
    return store.result(ended.run) or {"status": "missing", "message": "another process is still running it"}
