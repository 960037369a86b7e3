"""Reads JSON Lines, and files that hold one JSON array of objects, by itself or under a key."""

import json
import re
from collections.abc import Iterator
from typing import Any

from mtl_lightning.errors import UserError, shown
from mtl_lightning.rows.bad_lines import BLANK, BadLine
from mtl_lightning.rows.json_field import find_array
from mtl_lightning.rows.lines import LONGEST, Example, Rows, flaw, read_lines, too_long
from mtl_lightning.rows.text_format import TextFormat

_BLANK = " \t\r\n"
_SPACE = re.compile(f"[{_BLANK}]*")


def read_json(path: str, form: TextFormat, arrays: bool) -> Rows:
    """Yields the objects of one array, however it is broken into lines, or of JSON Lines; empty lines are passed over.

    Args:
        path: A text file, plain or gzipped.
        form: Its encoding, and the key under which the array stands.
        arrays: Whether a file that begins with ``[`` is an array.

    Raises:
        UserError: If the file cannot be read, an array is not JSON (nothing says where its next object begins), or the
            file is one object.
    """
    lines = read_lines(path, form.encoding, longest=-1)  # an array may stand on one
    first = next((line for line in lines if line.strip(_BLANK)), "").lstrip(_BLANK)
    if form.field is None and not (arrays and first.startswith("[")):
        if first.startswith("{") and not _is_json(first):
            _refuse_object(path, "".join(read_lines(path, form.encoding, longest=-1)).lstrip(_BLANK))
        yield from _json_lines(path, form)
        return
    text = "".join(read_lines(path, form.encoding, longest=-1))
    if reason := flaw(text, form.encoding):
        raise UserError(f"{path}: {reason}")
    start = text.index("[") if form.field is None else find_array(path, text, form.field, _DECODER)
    for number, (begin, end, value) in _elements(path, text, start, alone=form.field is None):
        if end - begin > LONGEST:
            raise too_long(path, number)
        yield _example(number, value, text[begin:end])


def _json_lines(path: str, form: TextFormat) -> Rows:
    for number, line in enumerate(read_lines(path, form.encoding), 1):
        if line.strip(_BLANK):
            reason = flaw(line, form.encoding)
            try:
                yield BadLine(number, reason, line) if reason else _example(number, _DECODER.decode(line), line)
            except (ValueError, RecursionError) as error:
                yield BadLine(number, _explain(error), line)
        elif form.keep_blank:
            yield BadLine(number, BLANK, "")


def _is_json(text: str) -> bool:
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_object(path: str, text: str) -> None:
    """Raises :class:`UserError` if a text begins with an object that is broken into lines."""
    try:
        value, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return
    if text[end:].strip(_BLANK):
        raise UserError(f"{path} breaks its objects into lines; write each on one line, or all in one array [{{…}}, …]")
    keys = [key for key, inner in value.items() if isinstance(inner, list) and any(isinstance(i, dict) for i in inner)]
    found = shown(", ".join(value))[1:-1]
    key = keys[0] if len(keys) == 1 else "KEY"
    raise UserError(f"{path} is one object, with {found}; if its records stand under a key, name it: `field: {key}`")


def _elements(path: str, text: str, start: int, alone: bool) -> Iterator[tuple[int, tuple[int, int, Any]]]:
    """Line, extent and value of each element of the array that begins at ``start``."""
    number, counted, start = 1, 0, _skip(text, start + 1)
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
    if alone and (rest := text[_skip(text, start + 1) :]):
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
