"""What a program imports at its start and needs to its end."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_imports(module: str = "torch") -> Iterator[None]:
    """Spares the garbage collector what is imported within, which is no garbage.

    It rests meanwhile, an eighth of the time that the imports take, and leaves all of it alone from then on: to look
    through it takes time, and a copy of its memory in each process that forks.

    Args:
        module: If it has been imported before, nothing is changed: the objects of a program may become garbage.
    """
    if module in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
