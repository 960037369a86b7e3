"""What a parser says of a value of the wrong type."""

import ast
import re
from typing import Any, NamedTuple

_UNION = re.compile(r"Union subtypes\s+Subtypes: \[(.*?)\]\n.*^\s*Given value: (.*)", re.DOTALL | re.MULTILINE)
_CLASS = re.compile(r"<class '(?:[\w.]*\.)?(\w+)'>")
_EXPECTED = re.compile(r"Expected an? ([^\n]+?)\. Got value: (.*)", re.DOTALL)
_WITHIN = re.compile(r'^( *)- Parser key "([\w.]+)":\n((?:\1 .*\n?)+)', re.MULTILINE)
_NUMBERS = {"int", "float"}
_ENTRY = re.compile(r"^NestedArg\(key='[^']*', val='?(.*?)'?\)$")  # of a dict, by a flag
_BULLET = re.compile(r"^\s*- (.+)$", re.MULTILINE)
_OF_CALLBACKS = "Subtypes: [list[lightning.pytorch.callbacks.callback.Callback]"
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
    match = _UNION.search(message) or _EXPECTED.search(message)
    if match is None:
        return None
    value = _ENTRY.sub(r"\1", " ".join(match[2].split()))
    return WrongType(_names(match[1], in_full=value.startswith("{")), value[:400])


def innermost(key: str, details: str) -> tuple[str, str]:
    """The argument that is wrong, where the types are those of a class that could also be null, and what is said of it.

    Args:
        key: Of the class.
        details: What the parser says of it.
    """
    while len(found := _WITHIN.findall(details)) == 1:
        _, key, details = found[0]
    return key, details


def may_be_number(message: str) -> bool:
    """Whether a message is about a key whose value can be a number."""
    wrong = wrong_type(message)
    return wrong is not None and not _NUMBERS.isdisjoint(wrong.expected)


def said_by_class(message: str) -> str:
    """What a class said of its arguments, where the parser says of each type of a union why the value is none of it."""
    if "Union subtypes" not in message:
        return message
    said = next((said for said in _BULLET.findall(message) if not said.startswith(_ABOUT_TYPES)), None)
    if said is None:
        return message
    return f"trainer.callbacks: {said}" if _OF_CALLBACKS in message and not said.startswith("trainer.") else said


def names_of(kind: Any) -> str:
    """A type as messages name it; what makes an object, as a class does, is a class."""
    names = _names(str(kind), in_full=True)
    return " or ".join("a class" if name.startswith("Callable") else name for name in names)


def _names(types: str, in_full: bool) -> list[str]:
    """Names of types, which are separated by commas; ``in_full`` also what dicts hold."""
    plain = _CLASS.sub(r"\1", types)
    try:
        nodes = ast.parse(f"[{plain}]", mode="eval").body.elts  # type: ignore[attr-defined]
    except SyntaxError:
        return [plain]
    return list(dict.fromkeys(_name(node, in_full) for node in nodes))


def _name(node: ast.AST, in_full: bool) -> str:
    match node:
        case ast.BinOp(left=left, right=right):
            return f"{_name(left, in_full)} or {_name(right, in_full)}"
        case ast.Subscript(value=kind, slice=ast.Tuple(elts=parts)) if ast.unparse(kind).endswith("Literal"):
            return f"one of {', '.join(map(ast.unparse, parts))}"
        case ast.Subscript(value=kind, slice=ast.Tuple(elts=[key, value])) if in_full:
            return f"{_name(kind, in_full)} of {_name(key, in_full)} to {_name(value, in_full)}"
        case ast.Subscript(value=kind, slice=ast.Tuple()):
            return _name(kind, in_full)
        case ast.Subscript(value=kind, slice=part):
            return f"{_name(kind, in_full)} of {_name(part, in_full)}"
        case _:
            name = ast.unparse(node).rpartition(".")[2]
            return {"NoneType": "null", "None": "null", "Sequence": "list", "List": "list", "Dict": "dict"}.get(
                name, name
            )
