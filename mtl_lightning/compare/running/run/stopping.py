"""How the process of a run is asked to stop."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import Any

from mtl_lightning.stopping import NUMBERS, SIGNALS, follow_parent

_WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def listening() -> Iterator[None]:
    """Lets a request to stop end the run in good order, also when the comparison's own process dies.

    In training it first writes a checkpoint. submitit would ignore SIGTERM, and end the run by an exception at the
    warning (USR1 or USR2) before a time limit.
    """
    before = {number: signal.signal(number, signal.SIG_DFL) for number in {*NUMBERS, *_WARNINGS}}
    try:
        with SIGNALS.listening():
            for warning in _WARNINGS:
                signal.signal(warning, _warned)
            if parent_process() is not None:
                follow_parent(lambda: os.kill(os.getpid(), signal.SIGTERM))
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _warned(number: int, frame: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
