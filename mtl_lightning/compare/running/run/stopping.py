"""How the process of a run is asked to stop."""

import os
import signal
import sys
import threading
from multiprocessing import connection, parent_process
from typing import Any

_WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)


def follow_parent() -> None:
    """Stops the run, with a checkpoint, when the comparison's own process dies."""
    parent = parent_process()
    if parent is not None:

        def watch() -> None:
            connection.wait([parent.sentinel])
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, daemon=True).start()


def listen() -> None:
    """Lets a request to stop end the process in good order; in training, the run first writes a checkpoint.

    submitit would ignore SIGTERM, and end the run by an exception at the warning (USR1 or USR2) before a time limit.
    """

    def stop(number: int, frame: Any) -> None:
        sys.exit(128 + number)

    def warned(number: int, frame: Any) -> None:
        for warning in _WARNINGS:
            signal.signal(warning, signal.SIG_IGN)  # a second request would stop it at once
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for warning in _WARNINGS:
        signal.signal(warning, warned)
