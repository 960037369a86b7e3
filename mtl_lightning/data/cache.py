"""Files that are made once: by one process while the others wait, and then found by every run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets import config
from filelock import FileLock

_ROWS_A_PROCESS = 25_000


@contextmanager
def made_once(key: str) -> Iterator[Path]:
    """The path of a file of the cache; nobody else has it meanwhile.

    Processes of one run, and runs that start at once, come to the same work at the same time. Whoever is first does
    it; the others wait, and find it done. If it fails, so does each of them, with the same message.

    Args:
        key: Says all that the content follows from.
    """
    # `datasets` lists the folder for each table that it makes: it must not hold them all
    path = Path(config.HF_DATASETS_CACHE, "mtl_lightning", key[:2], f"{key}.arrow")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        yield path


def num_encoders(rows: int) -> int | None:
    """How many processes encode a table; null: this one does.

    To start them takes about a second, in which one process encodes some ten thousand sentences.

    Args:
        rows: Of the table.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = min(cores, rows // _ROWS_A_PROCESS)
    return number if number > 1 else None
