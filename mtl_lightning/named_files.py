"""Whether files are opened that a value names, such as an image's."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mtl_lightning.errors import UserError

_STAY_CLOSED = ContextVar("_STAY_CLOSED", default=False)


@contextmanager
def kept_closed() -> Iterator[None]:
    """Within, a value that names a file is refused: it comes from somebody who may not read this machine's files."""
    token = _STAY_CLOSED.set(True)
    try:
        yield
    finally:
        _STAY_CLOSED.reset(token)


def check_may_open(path: str) -> None:
    """Raises :class:`UserError` where files that values name are kept closed."""
    if _STAY_CLOSED.get():
        raise UserError(f"{path} names a file, and a request can name none; send what is in it")
