"""Loggers whose failure does not end a run."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import Logger

_LOG = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds that a logger may take for one call; those that reach a server have shorter limits of their own."""

_METHODS = (
    *("log_metrics", "log_hyperparams", "log_graph", "log_image", "log_table", "log_text"),
    *("save", "finalize", "after_save_checkpoint"),
)


class NoAnswerError(Exception):
    """Something takes longer than it may."""


def careful(logger: Logger) -> Logger:
    """The same logger, now of a class that leaves it out, with a warning, once one of its methods fails.

    A run is worth more than one of its logs: what is logged elsewhere, checkpoints and results are not lost with it.
    """
    cls = type(logger)
    methods = {name: _attempted(getattr(cls, name)) for name in _METHODS if hasattr(cls, name)}
    logger.__class__ = type(cls.__name__, (cls,), {"__module__": cls.__module__, "__doc__": cls.__doc__, **methods})
    return logger


def left_out(logger: Logger) -> bool:
    """Whether a logger has failed."""
    return getattr(logger, "has_failed", False) is True  # Lightning's dummy has whatever it is asked for


@contextmanager
def attempt(logger: Any) -> Iterator[None]:
    """Leaves a logger out, with a warning, if what is done with it fails or takes longer than :data:`PATIENCE`."""
    try:
        with at_most(PATIENCE):
            yield
    except Exception as error:  # whatever it is, the run has not failed
        if not left_out(logger):
            logger.has_failed = True
            _LOG.warning(f"{type(logger).__name__} is left out from here on; training continues: {reason(error)}")


def reason(error: BaseException) -> str:
    """An exception as one line."""
    text = " ".join(str(error).split())[:300]
    return f"{text} ({type(error).__name__})" if text else type(error).__name__


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupts what takes longer (0: nothing does), where that can be: in the main thread, not on Windows.

    Raises:
        NoAnswerError: When the time is over.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def late(number: int, frame: Any) -> None:
        raise NoAnswerError(f"no answer for {seconds:g} seconds")

    handler = signal.signal(signal.SIGALRM, late)
    other, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, other)
        signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)


def _attempted(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **options: Any) -> Any:
        if left_out(self):
            return None
        with attempt(self):
            return method(self, *args, **options)

    return call
