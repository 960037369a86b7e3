"""Signals that ask a run to stop."""

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """A run that was asked to stop has stopped, with all that it computed in a checkpoint.

    Its ``code`` is the exit status: 128 and the number of the signal on the first process, 0 on others (which would
    otherwise take the first one down with them).
    """

    code: int


class Interruption:
    """Remembers a signal to stop (Ctrl-C or SIGTERM) until there is a good moment; a second one stops at once."""

    def __init__(self) -> None:
        self.received = 0
        """Number of the signal that came, 0 for none."""
        self._before: dict[int, Callable[..., Any] | int | None] = {}

    def listen(self) -> None:
        """Takes the signals over. Outside the main thread, where Python allows no such thing, nothing happens."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}

    def stop_listening(self) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: Any) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = number
        print("\nStopping after this step, with a checkpoint; once more to stop at once.", file=sys.stderr)
