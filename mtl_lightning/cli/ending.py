"""What a command says when it ends before its end."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl_lightning.cli.meeting import Meeting
from mtl_lightning.cli.world import STARTED_BY, World, is_first
from mtl_lightning.cluster.requeue import requeue
from mtl_lightning.stopping import SIGNALS, Interrupted, death, held_back, name_of
from mtl_lightning.terminal import quoted_path, say

_HEARING = 3.0
"""Seconds for the first process of a run to find the same mistake, say it, and end the others."""


class Ending:
    """Says what became of the work of a command, and how to resume it.

    Attributes:
        first: Whether this is the first process of a run, which speaks for all.
        meeting: Where the processes of a run meet; null for one that is alone.
        world: These processes, where something else has started them.
    """

    def __init__(self) -> None:
        self._last: Path | None = None
        self._before: int | None = None
        self._requeues = False
        self._number = 0
        self._begun = False
        self.first = is_first(os.environ)
        self.meeting: Meeting | None = None
        self.world: World | None = None

    def begin(self, found: World | None) -> None:
        """Takes note of the processes that were started with this one."""
        self.world, self._begun = found, True
        if found is not None and found.size > 1:
            self.meeting = Meeting(found)

    def run_in(self, folder: Path, requeues: bool) -> None:
        """Takes note of the folder of the run that is trained, and whether its job may be requeued."""
        self._requeues = requeues
        self._last = folder / "checkpoints" / "last.ckpt"
        self._before = _changed(self._last)

    def of_stop(self, stopped: Interrupted) -> int:
        """Of a command that was asked to stop; returns the exit status."""
        self._number = stopped.code - 128
        said = [] if stopped.said else [f"Stopped by {name_of(SIGNALS.received or stopped.code - 128)}", *self.hints()]
        if self.first and (lines := [*said[:1], *_notes(stopped), *said[1:]]):
            say("; ".join(lines), error=True)
        return stopped.code

    def requeue(self) -> None:
        """Requeues the job if its run was stopped by a signal that means this; when all else is done, as it ends it."""
        if not (self.first and self._requeues and self._number > 0 and self._last is not None):
            return
        with held_back():
            if line := requeue(self._last.parent.parent, self._number, _changed(self._last)):
                say(line, error=True)

    def of_error(self, error: Exception, line: str) -> None:
        """Of a mistake in the input, or a process that died; what all processes find is said once."""
        if not self._begun and not self.first:
            return
        if STARTED_BY in os.environ and not self.first:
            time.sleep(_HEARING)
        elif self.meeting is not None and death(error) is None:
            if (said := self.meeting.fail(line)) is None:
                return
            line = said
        trained = self._last is not None and _changed(self._last) != self._before
        hints = [hint for hint in self.hints() if trained and hint not in line]
        say("; ".join([f"error: {line}", *_notes(error), *hints]), error=True)

    def hints(self) -> list[str]:
        """How to resume, if there is something to resume."""
        if self._last is None or not self._last.exists():
            return []
        return [f"resume with --ckpt_path {quoted_path(self._last)}"]


def _changed(path: Path) -> int | None:
    """When a file was changed; null: there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Notes what is lost, if a command is asked to stop within."""
    try:
        yield
    except Interrupted as stopped:
        if note:
            stopped.add_note(note)
        raise
