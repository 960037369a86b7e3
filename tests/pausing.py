"""Holds a run where a test wants to stop it, so that it cannot have ended by then."""

import signal
import threading
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback


class Pause(Callback):
    """Pauses a run at the end of a step, once, until it is asked to stop by SIGTERM, or killed.

    Args:
        step: Number of the optimizer step after which it pauses.
        mark: File that it makes then. Where there is one already, it does not pause.
    """

    def __init__(self, step: int, mark: str) -> None:
        self.step = step
        self.mark = Path(mark)

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step != self.step or self.mark.exists():
            return
        asked, handle = threading.Event(), signal.getsignal(signal.SIGTERM)

        def stop(*received: Any) -> None:
            asked.set()
            if callable(handle):
                handle(*received)

        signal.signal(signal.SIGTERM, stop)
        self.mark.touch()
        asked.wait()
