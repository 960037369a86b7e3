"""Physical lines of text files, plain or gzipped."""

import gzip
import re
import zlib
from collections.abc import Iterator
from io import TextIOWrapper
from typing import IO, Any, NamedTuple

from mtl_lightning.data.readers.bad_rows import BAD, LINE, BadLine
from mtl_lightning.errors import UserError, shown

_INVALID = re.compile("[\udc80-\udcff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Example(NamedTuple):
    """A row of a file.

    Attributes:
        line: Number of the physical line at which it begins.
        values: Its values by column.
    """

    line: int
    values: dict[str, Any]


Rows = Iterator[Example | BadLine]
"""What a reader makes of a file."""


def read_lines(path: str) -> Iterator[str]:
    """Yields the lines of a file with their ends; what is not UTF-8 comes as lone surrogates, see :func:`flaw`.

    Raises:
        UserError: If the file cannot be read, or ends in the middle of its compression.
    """
    number = 0
    try:
        with open_binary(path) as binary, TextIOWrapper(binary, "utf-8-sig", "surrogateescape", newline="") as file:
            for line in file:
                number += 1
                yield line
    except (EOFError, zlib.error, OSError) as error:
        at = f" after line {number}; it is cut off or damaged, fetch it again" if number else ""
        raise UserError(f"cannot read {path}{at}: {error}") from error


def open_binary(path: str) -> IO[bytes]:
    """The bytes of a file, unpacked if its name ends in ``.gz``."""
    return gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def flaw(text: str) -> str | None:
    """Why a text cannot be: bytes that are not UTF-8, or a NUL character. None: it can."""
    if text.isascii() and "\0" not in text:
        return None
    if found := _INVALID.search(text):
        byte = ord(found[0]) - 0xDC00
        hint = "the file looks like UTF-16; " if text[:2] in ("\udcff\udcfe", "\udcfe\udcff") else ""
        return f"byte 0x{byte:02x} at character {found.start() + 1} is not UTF-8; {hint}save the file as UTF-8"
    return "it holds a NUL character; is the file binary, or UTF-16?" if "\0" in text else None


def check_names(path: str, names: list[str]) -> None:
    """Raises :class:`UserError` for names that columns cannot have."""
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path} names the column '{twice[0]}' twice; rename one of them")
    if reserved := {LINE, BAD} & set(names):
        raise UserError(f"{path}: the column name '{min(reserved)}' is reserved; rename that column")
    if odd := [name for name in names if _CONTROL.search(name)]:
        raise UserError(f"{path}: the column name {shown(odd[0])} holds a control character; rename that column")
