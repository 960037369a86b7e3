"""Names the checkpoint where what it holds cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl_lightning.errors import UserError


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """What is raised inside while values of a checkpoint are used is a mistake in it: it may come from anybody.

    Args:
        path: Of the checkpoint.

    Raises:
        UserError: In place of any other exception.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of values of any kind
        said = " ".join(str(error).split())[:300]
        raise UserError(f"{path} cannot be used: {said} ({type(error).__name__})") from error
