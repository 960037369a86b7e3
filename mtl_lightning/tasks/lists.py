"""Lists that were written into a single text, as CSV makes of them."""

import ast
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from mtl_lightning.errors import UserError, shown

_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_ITEM = re.compile(rf"\s*({_QUOTED}|[^\s,'\"\[\]]+)")
_PLAIN = re.compile(r"[^\[\]{}()'\"]*")


def looks_like_list(text: str) -> bool:
    """Whether a text is in the brackets of a list."""
    text = text.strip()
    return len(text) > 1 and (text[0], text[-1]) in (("[", "]"), ("(", ")"), ("{", "}"))


@lru_cache(2**14)
def listed(text: str) -> tuple[Any, ...] | None:
    """The items of a list as JSON, Python or NumPy writes it, or of bare words in square brackets; None: it is none.

    Raises:
        UserError: For an object, or if square brackets hold something else.

    >>> listed("['a', 'b']"), listed('["a"]'), listed("[1. 0.]"), listed("['a' 'b']"), listed("[a, b]")
    (('a', 'b'), ('a',), (1.0, 0.0), ('a', 'b'), ('a', 'b'))
    """
    text = text.strip()
    if not looks_like_list(text):
        return None
    found = _evaluated(json.loads, text)
    if found is None and text[0] == "[":
        found = _words(text[1:-1].strip())
    if found is None:
        found = _evaluated(ast.literal_eval, text)
    if isinstance(found, dict) or (text[0] == "[" and not isinstance(found, list)):
        raise UserError(f"expected a list of labels, or a text of them, found {shown(text)}")
    if isinstance(found, set):
        found = sorted(found, key=str)
    return tuple(found) if isinstance(found, list | tuple) else None


def items_of(value: Any) -> Any:
    """What a text lists, as CSV writes it; any other value as it is.

    >>> items_of("[]"), items_of("a b"), items_of(["a"])
    ((), 'a b', ['a'])
    """
    found = listed(value) if isinstance(value, str) else None
    return value if found is None else found


def _evaluated(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _words(inside: str) -> list[Any] | None:
    """Items without quotes between commas; or between blanks, as NumPy writes them: Python would join two texts."""
    if _PLAIN.fullmatch(inside) and "," in inside:
        return [_number(item.strip()) for item in inside.split(",") if item.strip()]
    if "," not in re.sub(_QUOTED, "", inside):
        items = _ITEM.findall(inside)
        if "".join(items) == re.sub(rf"({_QUOTED})|\s", r"\1", inside):
            return [ast.literal_eval(item) if item[0] in "'\"" else _number(item) for item in items]
    return None


def _number(item: str) -> Any:
    try:
        return float(item) if "." in item else int(item)
    except ValueError:
        return item
