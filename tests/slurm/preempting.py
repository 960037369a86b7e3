"""A process that is behind the others, and a job that is preempted in mid-epoch while it is."""

import os
import signal
import subprocess
import time
from typing import Any

from lightning.pytorch import Callback

from mtl_lightning.stopping import SIGNALS


class Preempted(Callback):
    """Has SLURM send its job a signal after some step, one at each start of the job, and is a straggler otherwise.

    The second process sends it, and waits until it has come: the first one has received it a while before.

    Args:
        steps: One for each start.
        signals: Their names; "" waits for the time limit.
    """

    def __init__(self, steps: list[int], signals: list[str]) -> None:
        self.steps, self.signals = steps, signals

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        start = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        if "SLURM_JOB_ID" not in os.environ or start >= len(self.steps):
            return
        if trainer.global_rank == 1:
            time.sleep(0.02)
            if trainer.global_step == self.steps[start]:
                self._send(self.signals[start])

    def _send(self, name: str) -> None:
        if name:
            subprocess.run(["scancel", f"--signal={name}", os.environ["SLURM_JOB_ID"]], check=True)
        limit = time.monotonic() + 600
        while not SIGNALS.received:
            assert time.monotonic() < limit, "no signal has come"
            time.sleep(0.02)


class Warned(Callback):
    """Sends its own process a signal after a step.

    Args:
        step: After which.
        name: Of the signal.
    """

    def __init__(self, step: int, name: str) -> None:
        self.step, self.name = step, name

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.Signals[self.name])
