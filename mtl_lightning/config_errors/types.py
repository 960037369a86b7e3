"""What a parser says of a value of the wrong type."""

import re
from typing import NamedTuple

_UNION = re.compile(r"Union subtypes\s+Subtypes: \[(.*?)\]\n.*^\s*Given value: (.*)", re.DOTALL | re.MULTILINE)
_EXPECTED = re.compile(r"Expected an? ([^\n]+?)\. Got value: (.*)", re.DOTALL)
_ENTRY = re.compile(r"^NestedArg\(key='[^']*', val='?(.*?)'?\)$")  # of a dict, by a flag
_BULLET = re.compile(r"^\s*- (.+)$", re.MULTILINE)
_ABOUT_TYPES = ("Expected a", "Does not validate", "Not a valid", "a class path", "a dict with")


class WrongType(NamedTuple):
    """A value of the wrong type.

    Attributes:
        expected: Names of the types that it could have.
        value: What was found, as Python writes it.
    """

    expected: list[str]
    value: str


def wrong_type(message: str) -> WrongType | None:
    """What a parser's message about one key says; null: it is about something else."""
    if match := _UNION.search(message):
        kinds = _split(match[1])
    elif match := _EXPECTED.search(message):
        kinds = [match[1]]
    else:
        return None
    value = _ENTRY.sub(r"\1", " ".join(match[2].split()))
    return WrongType(list(dict.fromkeys(map(_type_name, kinds))), value[:400])


def said_by_class(message: str) -> str:
    """What a class said of its arguments, where the parser says of each type of a union why the value is none of it."""
    if "Union subtypes" not in message:
        return message
    return next((said for said in _BULLET.findall(message) if not said.startswith(_ABOUT_TYPES)), message)


def _split(kinds: str) -> list[str]:
    """The types of a list of types, of which each may hold commas in brackets."""
    return re.findall(r"(?:[^,\[]|\[(?:[^\[\]]|\[[^\]]*\])*\])+", kinds)


def _type_name(kind: str) -> str:
    kind = re.sub(r"<class '(?:[\w.]*\.)?(\w+)'>", r"\1", kind).strip(" .")
    kind = re.sub(r"^(?:typing|collections\.abc)\.", "", kind)
    kind = re.sub(r"^Literal\[(.*)\]$", r"one of \1", kind)
    kind = re.sub(r"^(?:dict|Dict|Mapping)\[.*\]$", "dict", kind)
    if match := re.match(r"(?:list|List|Sequence)\[(.*)\]$", kind):
        kind = f"list of {match[1].replace('|', 'or')}"
    return {"NoneType": "null", "Sequence": "list"}.get(kind, kind)
