"""Reads a text that a person or this package has written: never without end, and not more than memory holds."""

import os
import select
import stat
from pathlib import Path

from mtl_lightning.errors import UserError

LIMIT = 10_000_000
"""Bytes; a config of 100,000 labels has 3 million."""

_PATIENCE = 60_000  # milliseconds for a pipe's other end to write something,
_ARRIVAL = 1_000  # and to be there at all


def read_small_text(path: Path) -> str:
    """What a file in UTF-8 holds, or a pipe, as in ``--config <(command)``.

    Args:
        path: Of the file.

    Raises:
        OSError: If it cannot be opened.
        UnicodeDecodeError: If it is no text.
        UserError: If it is a device, is larger than :data:`LIMIT`, or a pipe into which nobody writes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # of a pipe, open would wait for its other end
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISFIFO(mode)):
            raise UserError(f"{path} is a device, not a file")
        if os.fstat(descriptor).st_size > LIMIT:
            raise _too_large(path)
        start = _start(descriptor, path) if stat.S_ISFIFO(mode) else b""
        content = start + file.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise _too_large(path)
    return content.decode("utf-8-sig")


def _too_large(path: Path) -> UserError:
    return UserError(f"{path} is larger than {LIMIT // 1_000_000} MB, which no file of settings is")


def _start(descriptor: int, path: Path) -> bytes:
    """The first bytes of a pipe, which is not waited for without end."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    try:
        start = os.read(descriptor, 1)
        patience = _ARRIVAL
    except BlockingIOError:  # somebody is there
        start, patience = b"", _PATIENCE
    if not start and not poll.poll(patience):
        raise UserError(f"{path} is a pipe into which nobody writes")
    os.set_blocking(descriptor, True)
    return start
