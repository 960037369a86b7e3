"""What the values of the options of a command mean, as ``compare`` and ``submit`` have them."""

import json
import re
from collections.abc import Callable
from typing import Any, TypeAlias, get_args

from mtl_lightning.cli.configuration.plain_yaml import parse_value
from mtl_lightning.errors import UserError, did_you_mean, shown

_RANGE = re.compile(r"(\d+)\.\.(\d+)")

Converter: TypeAlias = Callable[[str, Any], Any]
"""Turns what was given for an option, whose name comes first, into its value, or raises a :class:`UserError`."""


def count(least: int) -> Converter:
    """A whole number, at least ``least``."""

    def convert(name: str, value: Any) -> int:
        found = parse_value(value) if isinstance(value, str) else value
        if not isinstance(found, int) or isinstance(found, bool) or found < least:
            raise UserError(f"{name}: expected a whole number, at least {least}, found {shown(value)}")
        return found

    return convert


def switch(name: str, value: Any) -> bool:
    """True or false."""
    found = parse_value(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise UserError(f"{name}: expected true or false, found {shown(value)}")
    return found


def one_of(choices: Any) -> Converter:
    """One of the words of a ``Literal``."""

    def convert(name: str, value: Any) -> str:
        if value not in get_args(choices):
            raise UserError(f"{name}: unknown '{value}'; {did_you_mean(str(value), get_args(choices))}")
        return str(value)

    return convert


def word(name: str, value: Any) -> str:
    """A word."""
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{name}: expected a word, found {shown(value)}")
    return value


def strings(name: str, value: Any) -> list[str]:
    """A list of words; a word alone is a list of one."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) and item.strip() for item in items):
        raise UserError(f"{name}: expected a list of words, found {shown(value)}")
    return items


def mapping(name: str, value: Any) -> dict[str, Any]:
    """Keys and values."""
    found = parse_value(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise UserError(f"{name}: expected {{key: value}}, found {shown(value)}")
    return found


def seeds(name: str, value: Any) -> list[int]:
    """Seeds: so many from 0, those given, or from one to another."""
    if isinstance(value, str) and (ends := _RANGE.fullmatch(value)):
        found: Any = list(range(int(ends[1]), int(ends[2]) + 1))
    else:
        value = parse_value(f"[{value}]" if "," in value else value) if isinstance(value, str) else value
        found = list(range(value)) if type(value) is int else value
    if not isinstance(found, list) or not found or not all(type(seed) is int and seed >= 0 for seed in found):
        raise UserError(f"{name}: expected a number of seeds, some (0,1,2) or a range (0..4), found {shown(value)}")
    if len(set(found)) < len(found):
        raise UserError(f"{name}: each must be named once, found {shown(value)}")
    return found


def flags_of(name: str, value: Any) -> list[str]:
    """Options of ``fit`` that are a mapping."""
    given = mapping(name, value).items()
    return [f"--{key}={item if isinstance(item, str) else json.dumps(item)}" for key, item in given]


def variant_of(text: str) -> tuple[str, Any]:
    """What ``--variant`` says: a name, and changes of the configuration, or a file of them."""
    name, equals, changes = text.partition("=")
    if not equals or not changes:
        raise UserError(f"--variant {text}: expected NAME=FILE or NAME={{key: value}}")
    return name, parse_value(changes)
