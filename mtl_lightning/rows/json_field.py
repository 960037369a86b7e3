"""Finds the array that stands under a key of a JSON file, so that messages can name the lines of its records."""

import json
import re

from mtl_lightning.errors import UserError, did_you_mean, shown

_SPACE = re.compile(r"[ \t\r\n]*")


def find_array(path: str, text: str, field: str, decoder: json.JSONDecoder) -> int:
    """Where the array begins that a dotted key names.

    Args:
        path: Of the file, for messages.
        text: All of it.
        field: Key, or dotted keys.
        decoder: Reads values.

    Raises:
        UserError: If the text is not JSON, or there is no array under the key.
    """
    try:
        decoder.decode(text)
        start = _skip(text, 0)
        for key in [field] if _has(text, start, field, decoder) else field.split("."):
            start = _enter(path, text, start, key, decoder)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            reason = f"`field: {field}` is a key of a file that is one object, which ends before this line"
        else:
            reason = f"not JSON: {error.msg[:1].lower()}{error.msg[1:]} at character {error.colno}"
        raise UserError(f"{path}, line {error.lineno}: {reason}") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply") from error
    if not text.startswith("[", start):
        found = shown(decoder.raw_decode(text, start)[0])
        raise UserError(f"{path}: `field: {field}` must name an array of objects, found {found}")
    return start


def _enter(path: str, text: str, start: int, wanted: str, decoder: json.JSONDecoder) -> int:
    """Where the value of a key of the object at ``start`` begins."""
    members = _members(text, start, decoder)
    if wanted not in members:
        hint = did_you_mean(wanted, members) if members else "there is no object with keys; leave `field` out"
        raise UserError(f"{path} has no key '{wanted}' for `field`; {hint}")
    return members[wanted]


def _has(text: str, start: int, key: str, decoder: json.JSONDecoder) -> bool:
    return key in _members(text, start, decoder)


def _members(text: str, start: int, decoder: json.JSONDecoder) -> dict[str, int]:
    """Where the value of each key of an object begins; nothing of what is no object."""
    found: dict[str, int] = {}
    position = start
    while text[position : position + 1] in ("{", ","):
        position = _skip(text, position + 1)
        if text.startswith("}", position):
            break
        key, end = decoder.raw_decode(text, position)
        position = _skip(text, _skip(text, end) + 1)
        found[key] = position
        position = _skip(text, decoder.raw_decode(text, position)[1])
    return found


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()
