"""What a command says when it ends before its end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl_lightning.cli.run_folder import RANKS
from mtl_lightning.stopping import SIGNALS, Interrupted, name_of
from mtl_lightning.terminal import quoted_path, say


class Ending:
    """Says what became of the work of a command, and how to resume it.

    Attributes:
        folder: Of the run that is trained, once it is known.
        first: Whether this is the first process of a run, which speaks for all.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.first = not any(int(os.environ.get(key, "0")) for key in RANKS)

    def of_stop(self, stopped: Interrupted) -> int:
        """Of a command that was asked to stop; returns the exit status."""
        said = [] if stopped.said else [f"Stopped by {name_of(SIGNALS.received or stopped.code - 128)}", *self.hints()]
        if self.first and (lines := [*said[:1], *_notes(stopped), *said[1:]]):
            say("; ".join(lines), error=True)
        return stopped.code

    def of_error(self, error: Exception, line: str) -> None:
        """Of a mistake in the input, or a process that died."""
        say("; ".join([f"error: {line}", *_notes(error), *self.hints()]), error=True)

    def hints(self) -> list[str]:
        """How to resume, if there is something to resume."""
        last = None if self.folder is None else self.folder / "checkpoints" / "last.ckpt"
        return [f"resume with --ckpt_path {quoted_path(last)}"] if last is not None and last.exists() else []


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
