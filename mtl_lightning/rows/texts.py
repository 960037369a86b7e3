"""Texts, one a line, of a file or of standard input."""

import sys
from collections.abc import Iterator
from io import TextIOWrapper

from mtl_lightning.errors import shown
from mtl_lightning.rows.bad_lines import BadLine
from mtl_lightning.rows.lines import Example, Rows, bounded, flaw, read_lines

TEXT = "text"
"""The column that texts are in."""

OF_LINES = ("tokens", "text", "prompt")
"""Inputs that a line may be, in this order."""


def read_texts(path: str) -> Rows:
    """Each line, also one that is empty; a line that cannot be a text says why.

    Args:
        path: A file; ``-`` is standard input.
    """
    for number, line in enumerate(_standard_input() if path == "-" else read_lines(path), 1):
        if reason := flaw(line, remedy="save the file as UTF-8"):
            yield BadLine(number, f"{reason}: {shown(line.strip())}", "")
        else:
            yield Example(number, {TEXT: line.rstrip("\r\n")})


def no_lines(path: str, inputs: str, columns: str) -> str:
    """What is said of lines of text, or of none, for a model that reads something else.

    Args:
        path: As :func:`read_texts` takes it.
        inputs: The model's.
        columns: Those of a table that it reads.
    """
    origin = "standard input" if path == "-" else path
    return (
        f"--input: {origin} is read as lines of text, and the model reads {inputs}; name a table with the columns "
        f"{columns}, say `--input new.csv`"
    )


def _standard_input() -> Iterator[str]:
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape", newline="")
    yield from bounded(sys.stdin, "standard input")
