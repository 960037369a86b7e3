"""Sees to it that no process of a run waits for one that has failed, died or stopped."""

import os
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mtl_lightning.backward.processes import WAITS_IN, Board, abandon, num_processes, rank
from mtl_lightning.errors import UserError
from mtl_lightning.stopping import Interrupted, PeerFailedError, ProcessDiedError, death, peer_is_gone
from mtl_lightning.stopping.pulse import Pulse, place
from mtl_lightning.terminal import say


class ProcessWatch(Callback):
    """Lets the processes of a run know of each other's failures; on one process, nothing.

    A process that fails tells the others, which then end with a short line. One that does not answer, or keeps the
    others waiting, is named after a while, and after ``timeout`` seconds ends the run.

    Args:
        timeout: Seconds that a process may keep the others waiting.
        on_end: Called before this process is ended on the spot.
        hints: What a user can do then.
    """

    def __init__(
        self,
        timeout: float = 1800.0,
        on_end: Callable[[], Any] = lambda: None,
        hints: Callable[[], list[str]] = list,
    ) -> None:
        self._timeout = timeout
        self._on_end = on_end
        self._hints = hints
        self._pulse: Pulse | None = None
        self._trainer: Trainer | None = None
        self._moves = 0
        self._explained = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begins, once the processes have found each other."""
        self._trainer = trainer
        if self._pulse is None and num_processes() > 1:
            self._pulse = Pulse(Board(), rank(), num_processes(), self._where, self._timeout, self._end, _note)
            self._pulse.start()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Counts."""
        self._moves += 1

    def on_validation_batch_start(self, *args: Any) -> None:
        """Counts."""
        self._moves += 1

    def on_test_batch_start(self, *args: Any) -> None:
        """Counts."""
        self._moves += 1

    def on_predict_batch_start(self, *args: Any) -> None:
        """Counts."""
        self._moves += 1

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """See :meth:`explain`."""
        self.explain(exception)

    def explain(self, exception: BaseException) -> None:
        """Tells the others, once, of a failure of this process, or finds out which other one has led to it.

        Args:
            exception: By which this process ends; what another one has said is put where its cause is.
        """
        if self._pulse is None or self._explained or isinstance(exception, Interrupted):
            return
        self._explained = True
        if not peer_is_gone(exception):
            self._pulse.fail(exception, _reason(exception))
            abandon(exception)
        elif told := self._pulse.other_failure():
            exception.__cause__ = PeerFailedError(told, said=self._pulse.rank > 0)
        elif gone := self._pulse.gone():
            exception.__cause__ = ProcessDiedError(gone)

    def stop(self) -> None:
        """Ends: what follows is done by each process alone."""
        if self._pulse is not None:
            self._pulse.stop()
            self._pulse = None

    def _where(self) -> tuple[int, str, bool]:
        assert self._trainer is not None
        code, waiting = place(WAITS_IN)
        return self._moves, f"step {self._trainer.global_step}, at {code}", waiting

    def _end(self, text: str) -> None:
        say("; ".join([text.rstrip("\n"), *self._hints()]), error=True)
        self._on_end()
        os._exit(1)


def _reason(error: BaseException) -> str:
    if died := death(error):
        return died
    text = (str(error).strip().splitlines() or [""])[0][:300]
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def _note(text: str) -> None:
    say(text, error=True)
