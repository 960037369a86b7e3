"""Reads JSON Lines, and files that hold one JSON array of objects."""

import json
import re
from collections.abc import Iterator
from typing import Any

from mtl_lightning.data.readers.bad_rows import BLANK, BadLine
from mtl_lightning.data.readers.lines import Example, Rows, flaw, read_lines
from mtl_lightning.errors import UserError, shown

_BLANK = " \t\r\n"
_SPACE = re.compile(f"[{_BLANK}]*")


def read_json(path: str, keep_blank: bool = False) -> Rows:
    """Yields the objects of one array, however it is broken into lines, or of JSON Lines.

    Args:
        path: A text file in UTF-8, plain or gzipped.
        keep_blank: See :func:`read_json_lines`.

    Raises:
        UserError: If the file cannot be read, or an array is not JSON: nothing says where its next object begins.
    """
    first = next((line for line in read_lines(path) if line.strip(_BLANK)), "")
    if not first.lstrip(_BLANK).startswith("["):
        yield from read_json_lines(path, keep_blank)
        return
    text = "".join(read_lines(path))
    for number, (start, end, value) in _elements(path, text):
        yield _example(number, value, text[start:end])


def read_json_lines(path: str, keep_blank: bool = False) -> Rows:
    """Yields the objects of a file, one a line; empty lines are passed over.

    Args:
        path: A text file in UTF-8, plain or gzipped.
        keep_blank: Yield an empty line as a bad one.

    Raises:
        UserError: If the file cannot be read.
    """
    for number, line in enumerate(read_lines(path), 1):
        if line.strip(_BLANK):
            reason = flaw(line)
            try:
                yield BadLine(number, reason, line) if reason else _example(number, _DECODER.decode(line), line)
            except (ValueError, RecursionError) as error:
                yield BadLine(number, _explain(error), line)
        elif keep_blank:
            yield BadLine(number, BLANK, "")


def _elements(path: str, text: str) -> Iterator[tuple[int, tuple[int, int, Any]]]:
    """Line, extent and value of each element of an array."""
    if reason := flaw(text):
        raise UserError(f"{path}: {reason}")
    number, counted, start = 1, 0, _skip(text, text.index("[") + 1)
    closed = text.startswith("]", start)
    while not closed:
        number, counted = number + text.count("\n", counted, start), start
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            at = error.lineno if isinstance(error, json.JSONDecodeError) else number
            raise UserError(f"{path}, line {at}: {_explain(error)}") from error
        yield number, (start, end, value)
        stop = _skip(text, end)
        closed = text.startswith("]", stop)
        if not closed and not text.startswith(",", stop):
            line = number + text.count("\n", counted, stop)
            raise UserError(f"{path}, line {line}: expected ',' or ']', found {shown(text[stop : stop + 20])}")
        start = stop if closed else _skip(text, stop + 1)
    if rest := text[_skip(text, start + 1) :]:
        raise UserError(f"{path}: something follows the array: {shown(rest[:100])}")


def _example(number: int, value: Any, text: str) -> Example | BadLine:
    if not isinstance(value, dict):
        return BadLine(number, f"expected an object {{…}} with a value for each column, found {shown(value)}", text)
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            return BadLine(
                number, f"half of a surrogate pair is no character: {shown(error.object[error.start])}", text
            )
    return Example(number, value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it gives {shown(twice)} twice")
    return found


def _integer(text: str) -> int:
    number = int(text[:30])
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"the number {shown(text, 30)[1:-1]} has more than 64 bits; write it as a text")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()


def _explain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg[:1].lower()}{error.msg[1:]} at character {error.colno}"
    return str(error)
