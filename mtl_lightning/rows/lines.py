"""Physical lines of text files, plain or gzipped."""

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator, Sized
from functools import partial
from io import TextIOWrapper
from typing import IO, Any, NamedTuple

from mtl_lightning.errors import UserError, shown
from mtl_lightning.rows.bad_lines import BAD, LINE, BadLine

_INVALID = re.compile("[\udc80-\udcff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


_OTHERS = {
    rb"PAR1[\x00-\x08\x0e-\x1f]": "is a Parquet file; let its name end in .parquet, or set `format: parquet`",
    rb"PK\x03\x04": "is a spreadsheet, or another zip archive; save the table in it as CSV",
    rb"\x1f\x8b": "is gzipped; let its name end in .gz",
}
"""How files begin that are no text, and what to say of them."""


REMEDY_ENCODING = "save the file as UTF-8, or name its encoding, say `encoding: latin-1`"
"""What to do about bytes that are no text."""


LONGEST = 100_000_000
"""Characters of a row, beyond which it is refused: it would take gigabytes to read, and no model reads that much."""


MOST_COLUMNS = 10_000
"""Different columns of a file, beyond which it is refused: it is no table."""


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


def too_long(path: str, line: int, hint: str = "shorten it, or make several rows of it") -> UserError:
    """What is said of a row that is longer than :data:`LONGEST`."""
    return UserError(f"{path}, line {line:,}: the row has more than {LONGEST:,} characters; {hint}")


def check_number(path: str, line: int, names: Sized) -> None:
    """Raises :class:`UserError` for more columns than a table has."""
    if len(names) > MOST_COLUMNS:
        raise UserError(f"{path}, line {line}: more than {MOST_COLUMNS:,} different columns; is this a table?")


def read_lines(path: str, encoding: str | None = None, longest: int = LONGEST) -> Iterator[str]:
    """Yields the lines of a file with their ends; bytes that are none come as lone surrogates, see :func:`flaw`.

    Args:
        path: A text file, plain or gzipped.
        encoding: Of its text; null: UTF-8, or what its byte order mark says.
        longest: Characters that a line may have; -1: any number.

    Raises:
        UserError: If the file cannot be read, holds a line that is longer, or ends in the middle of its compression.
    """
    number = 0
    try:
        coding = encoding or _coding(path)
        with open_binary(path) as binary, TextIOWrapper(binary, coding, "surrogateescape", newline="") as file:
            start = binary.peek(5)[:5]  # type: ignore[attr-defined]
            if found := next((what for kind, what in _OTHERS.items() if re.match(kind, start)), None):
                raise UserError(f"{path} {found}")
            for line in bounded(file, path, longest):
                number += 1
                yield line if number > 1 else line.removeprefix("\ufeff")  # where an encoding is named
    except UnicodeError as error:
        raise UserError(f"{path}, line {number + 1}: the text is not {encoding or coding}: {error}") from error
    except (EOFError, zlib.error, OSError) as error:
        at = f" after line {number}; it is cut off or damaged, fetch it again" if number else ""
        raise UserError(f"cannot read {path}{at}: {error}") from error


def bounded(file: IO[str], path: str, longest: int = LONGEST) -> Iterator[str]:
    """Yields the lines of an open file, and reads no more of a line than it may have; see :func:`read_lines`."""
    for number, line in enumerate(iter(partial(file.readline, longest + 1 if longest >= 0 else -1), ""), 1):
        if 0 <= longest < len(line):
            raise too_long(path, number)
        yield line


def open_binary(path: str) -> IO[bytes]:
    """The bytes of a file, unpacked if its name ends in ``.gz``."""
    return gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def flaw(text: str, encoding: str | None = None, remedy: str = REMEDY_ENCODING) -> str | None:
    """Why a text cannot be: bytes that are not of its encoding, or a NUL character. None: it can.

    Args:
        text: Lines of a file.
        encoding: That the configuration names, if any.
        remedy: What to do about it.
    """
    if text.isascii() and "\0" not in text:
        return None
    if found := _INVALID.search(text):
        byte = ord(found[0]) - 0xDC00
        return f"byte 0x{byte:02x} at character {found.start() + 1} is not {encoding or 'UTF-8'}; {remedy}"
    hint = "is the file binary, or UTF-16 (`encoding: utf-16-le`)?"
    return f"it holds a NUL character; {hint}" if "\0" in text else None


def _coding(path: str) -> str:
    """What the byte order mark of a file says; without one, UTF-8."""
    with open_binary(path) as file:
        start = file.read(4)
    marks = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}  # first: one begins like that of UTF-16
    marks |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    return next((coding for mark, coding in marks.items() if start.startswith(mark)), "utf-8-sig")


def check_names(path: str, names: list[str]) -> None:
    """Raises :class:`UserError` for names that columns cannot have."""
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path} names the column '{twice[0]}' twice; rename one of them")
    if reserved := {LINE, BAD} & set(names):
        raise UserError(f"{path}: the column name '{min(reserved)}' is reserved; rename that column")
    if odd := [name for name in names if _CONTROL.search(name)]:
        raise UserError(f"{path}: the column name {shown(odd[0])} holds a control character; rename that column")
