"""What the values of options mean."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias, get_args

from mtl_lightning.cli.configuration.plain_yaml import parse_value, read_yaml
from mtl_lightning.compare.planning.catalogue import WEIGHTINGS, Choice, Range, Space, class_name
from mtl_lightning.compare.planning.configs import SECTIONS
from mtl_lightning.compare.planning.names import is_reserved
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.names import checked_name

Converter: TypeAlias = Callable[[str, Any], Any]
"""Turns what was given for an option, whose name comes first, into its value, or raises a :class:`UserError`."""


def weightings(name: str, value: Any) -> list[str]:
    """Classes of the weightings that are named: a list, or names with commas between."""
    named = value.split(",") if isinstance(value, str) else strings(name, value)
    if not all(map(str.strip, named)):
        raise UserError(f"{name}: a name is empty, found {value!r}; write them without spaces, or in quotes")
    classes: list[str] = []
    for item in named:
        classes += list(WEIGHTINGS) if item.strip().lower() == "all" else [class_name(item.strip())]
    return list(dict.fromkeys(classes))


def seeds(name: str, value: Any) -> list[int]:
    """Seeds: so many from 0, or those given."""
    value = parse_value(f"[{value}]" if "," in value else value) if isinstance(value, str) else value
    seeds = list(range(value)) if type(value) is int else value
    if not isinstance(seeds, list) or not seeds or not all(type(s) is int and s >= 0 for s in seeds):
        raise UserError(f"seeds: expected a number of seeds, at least 1, or some of them (0,1,2), found {value!r}")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"seeds: each must be named once, found {value!r}")
    return seeds


def switch(name: str, value: Any) -> bool:
    """True or false."""
    found = parse_value(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise UserError(f"{name}: expected true or false, found {value!r}")
    return found


def count(least: int) -> Converter:
    """A whole number, at least ``least``."""

    def convert(name: str, value: Any) -> int:
        found = parse_value(value) if isinstance(value, str) else value
        if not isinstance(found, int) or isinstance(found, bool) or found < least:
            raise UserError(f"{name}: expected a whole number, at least {least}, found {value!r}")
        return found

    return convert


def minutes(name: str, value: Any) -> float:
    """Minutes, more than 0."""
    found = parse_value(value) if isinstance(value, str) else value
    if not _is_number(found) or found <= 0:
        raise UserError(f"{name}: expected minutes, more than 0, found {value!r}")
    return float(found)


def one_of(choices: Any) -> Converter:
    """One of the words of a ``Literal``."""

    def convert(name: str, value: Any) -> str:
        if value not in get_args(choices):
            raise UserError(f"{name}: unknown '{value}'; {did_you_mean(str(value), get_args(choices))}")
        return str(value)

    return convert


def mapping(name: str, value: Any) -> dict[str, Any]:
    """Keys and values."""
    found = parse_value(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise UserError(f"{name}: expected {{key: value}}, found {value!r}")
    return found


def space(name: str, value: Any) -> Space:
    """What to search, by key."""
    return {key: searched(f"{name}.{key}", spec) for key, spec in mapping(name, value).items()}


def searched(name: str, spec: Any) -> Range | Choice:
    """What one key may be: a list of values, or ``low``, ``high`` and ``log``."""
    if isinstance(spec, list) and spec:
        return Choice(tuple(spec))
    if isinstance(spec, dict) and {"low", "high"} <= set(spec) <= {"low", "high", "log"} and _is_range(**spec):
        return Range(float(spec["low"]), float(spec["high"]), spec.get("log", False))
    raise UserError(f"{name}: expected a list of values or {{low: …, high: …, log: true}}, found {spec!r}")


def _is_range(low: Any, high: Any, log: Any = False) -> bool:
    return _is_number(low) and _is_number(high) and isinstance(log, bool) and low < high and (low > 0 or not log)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def variants(name: str, value: Any) -> dict[str, dict[str, Any]]:
    """Changes of the config, by contestant."""
    return {variant: changes_of(variant, changes) for variant, changes in mapping(name, value).items()}


def strings(name: str, value: Any) -> list[str]:
    """A list of words."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UserError(f"{name}: expected a list of words, found {value!r}")
    return value


def word(name: str, value: Any) -> str:
    """A word."""
    if not isinstance(value, str):
        raise UserError(f"{name}: expected a word, found {value!r}")
    return value


def changes_of(name: str, changes: Any) -> dict[str, Any]:
    """Changes of a config by key; those of a whole section come one by one."""
    checked_name("variant", name)
    if is_reserved(name):
        raise UserError(f"variant '{name}': compare uses this name itself; give the variant another name")
    if isinstance(changes, str):
        changes = read_yaml(changes)
    if not isinstance(changes, dict) or not all(isinstance(key, str) for key in changes):
        raise UserError(f"variant '{name}': expected a YAML file or {{key: value}}, found {changes!r}")
    single: dict[str, Any] = {}
    for key, value in changes.items():
        whole = key in SECTIONS and isinstance(value, dict)
        single |= {f"{key}.{part}": item for part, item in value.items()} if whole else {key: value}
    return single
