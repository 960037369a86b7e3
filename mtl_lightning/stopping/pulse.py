"""What the processes of a run tell each other while they train, so that none waits for one that is gone."""

import gc
import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from mtl_lightning.stopping.lookout import Beat, Lookout, Verdict

BEAT = 1.0  # seconds between two signs of life
_NOTICE = 60.0  # seconds after which the user is told of a process that does not go on
_GRACE = 5.0  # seconds to notice by oneself that another process has failed
_LEAVING = 30.0  # seconds to leave after a failure; devices may wait for processes that are gone
_FAILED = "failed"


class Board(Protocol):
    """A few short texts that all processes of a run can read; methods wait, or raise RuntimeError when it is gone."""

    def write(self, key: str, text: str) -> None:
        """Puts a text there."""

    def write_first(self, key: str, text: str) -> None:
        """Puts a text there unless there is one."""

    def read(self, key: str) -> str | None:
        """A text; null: there is none."""


class Pulse:
    """Tells the other processes that this one is alive, where it is, and why it fails; ends it if another one is gone.

    The first process looks after all others, and these after the first. One thread talks to the others and may have to
    wait; another one judges what was heard.

    Args:
        board: Where they meet.
        rank: Of this process.
        num_processes: How many there are.
        where: Number of batches begun, where this process is, and whether it waits for others there.
        patience: Seconds that a process may keep the others waiting, or silent.
        end: Ends this process on the spot, with a last text.
        note: Says something to the user.
    """

    def __init__(
        self,
        board: Board,
        rank: int,
        num_processes: int,
        where: Callable[[], tuple[int, str, bool]],
        patience: float,
        end: Callable[[str], Any],
        note: Callable[[str], Any],
    ) -> None:
        self.rank = rank
        self._board, self._where, self._patience, self._end, self._note = board, where, patience, end, note
        self._others = [other for other in range(num_processes) if other != rank and (rank == 0 or other == 0)]
        self._lookout = Lookout()
        self._to_announce: Verdict | None = None
        self._announced: Verdict | None = None
        self._lost = False
        self._failing = ""
        self._noted: set[int | None] = set()
        self._over, self._wake, self._settled = threading.Event(), threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._talk, self._look)]

    def start(self) -> None:
        """Begins."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends, and tells the others that this process leaves."""
        self._over.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(2 * BEAT)

    def fail(self, error: BaseException, what: str) -> None:
        """Announces that this process fails; from then on it is given a while to leave."""
        text = f"process {self.rank} on {socket.gethostname()} has failed: {what}"
        self._failing = "".join(traceback.format_exception(error))  # first: who only announces is ended on the spot
        self._to_announce = self._to_announce or Verdict(self.rank, text)
        self._wake.set()
        self._settled.wait(2 * BEAT)

    def other_failure(self) -> str | None:
        """What another process has announced of itself, or was found out about it; null: nothing."""
        self._wake.set()
        self._settled.wait(2 * BEAT)
        told = self._announced
        return None if told is None or told.rank == self.rank else told.text

    def gone(self) -> str | None:
        """Which process no longer gives a sign of life; takes a few seconds to find out."""
        self._over.wait(4 * BEAT)
        names = [beat.name for beat in self._lookout.silent(time.monotonic(), 2.5 * BEAT) if beat.rank != self.rank]
        return f"{' and '.join(names)} no longer answers" if names else None

    def _talk(self) -> None:
        count = 0
        try:
            while not (self._over.is_set() or self._announced):
                count += 1
                self._exchange(count)
                self._wake.wait(BEAT)
                self._wake.clear()
            self._settled.set()
            self._board.write(_key(self.rank), self._beat(0).dumps())
        except RuntimeError:  # nobody is there to be told
            self._lost = True
            self._settled.set()

    def _exchange(self, count: int) -> None:
        mine = self._beat(count)
        self._board.write(_key(self.rank), mine.dumps())
        if self._to_announce is not None:
            self._board.write_first(_FAILED, json.dumps(asdict(self._to_announce)))
        if (text := self._board.read(_FAILED)) is not None:
            self._announced = Verdict(**json.loads(text))
        beats = [self._board.read(_key(rank)) for rank in self._others]
        for beat in [mine, *(Beat.loads(text) for text in beats if text is not None)]:
            self._lookout.note(beat, time.monotonic())

    def _look(self) -> None:
        since: float | None = None
        while not self._over.wait(BEAT):
            now = time.monotonic()
            if self._failing or self._announced or self._lost:
                since = since or now
                self._leave(now - since)
            elif self._to_announce is None:
                self._judge(now)
            else:  # which nobody could be told
                self._end(f"error: {self._to_announce.text}")

    def _judge(self, now: float) -> None:
        self._to_announce = self._lookout.judge(now, self._patience)
        early = self._lookout.judge(now, min(_NOTICE, self._patience / 2))
        if self._to_announce is None and early is not None and early.rank not in self._noted:
            self._noted.add(early.rank)
            self._note(f"note: {early.text}; the run ends after {self._patience:.0f} s of that (--rank_timeout)")
        self._wake.set()

    def _leave(self, seconds: float) -> None:
        """Ends this process if it does not end by itself; one that keeps the others waiting shows where it is."""
        told = self._announced
        if self._failing:
            if seconds > _LEAVING:
                self._end(self._failing)
        elif told is not None and told.rank in (self.rank, None) and (frame := main_frame()) is not None:
            stack = "".join(traceback.format_stack(frame))
            self._end(f"Process {self.rank} is at (most recent call last):\n{stack}error: {told.text}")
        elif seconds > _GRACE:
            self._end("error: " + (_GONE if told is None else told.text))

    def _beat(self, count: int) -> Beat:
        return Beat(self.rank, socket.gethostname(), os.getpid(), count, *self._where())


_LISTING = threading.Lock()
"""Held by the thread that has the garbage collector rest."""

_GONE = "the process through which the processes of this run meet is gone; what it printed says why"


def main_frame() -> Any:
    """Where the main thread is.

    The garbage collector rests meanwhile: in Python 3.11, what it removes may wait for a lock that is held while frames
    are listed, and the process stands still for ever (https://github.com/python/cpython/issues/106883).
    """
    with _LISTING:
        collects = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames().get(threading.main_thread().ident or 0)
        finally:
            if collects:
                gc.enable()


def place(waits_in: Sequence[str]) -> tuple[str, bool]:
    """Where the main thread is, for a message, and whether it waits there for other processes.

    Args:
        waits_in: Names of modules whose functions wait for other processes, and of packages of such.
    """
    frame = innermost = main_frame()
    if innermost is None:
        return "no code", False
    waiting = False
    for _ in range(3):
        name = "" if frame is None else str(frame.f_globals.get("__name__", ""))
        waiting = waiting or any(name == each or name.startswith(f"{each}.") for each in waits_in)
        frame = None if frame is None else frame.f_back
    code = innermost.f_code
    return f"{code.co_name} ({'/'.join(code.co_filename.split('/')[-2:])}:{innermost.f_lineno})", waiting


def _key(rank: int) -> str:
    return f"beat/{rank}"
