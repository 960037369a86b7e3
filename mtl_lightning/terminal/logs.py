"""Log lines, warnings and tracebacks, which Python prints itself."""

import logging
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any

from mtl_lightning.terminal.text import printable, say


class PrintableRecord(logging.LogRecord):
    """A record of a log whose message can be shown."""

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        """The message."""
        return printable(super().getMessage())


def guard_terminal() -> None:
    """Makes what is logged, warned of, or raised by a command :func:`printable`, also what libraries say."""
    if logging.getLogRecordFactory() is logging.LogRecord:
        logging.setLogRecordFactory(PrintableRecord)
    if not hasattr(warnings.formatwarning, "__wrapped__"):
        warnings.formatwarning = _guarded(warnings.formatwarning)
    sys.excepthook = _show_traceback


def _guarded(make: Callable[..., str]) -> Callable[..., str]:
    @wraps(make)
    def guarded(*args: Any, **kwargs: Any) -> str:
        return printable(make(*args, **kwargs))

    return guarded


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    say("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"), error=True)
