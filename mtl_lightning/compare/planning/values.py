"""What the values of options mean that ``compare`` alone has."""

import math
from typing import Any

from mtl_lightning.cli.configuration.option_values import mapping, strings
from mtl_lightning.cli.configuration.plain_yaml import parse_value, read_yaml
from mtl_lightning.compare.planning.catalogue import WEIGHTINGS, Choice, Range, Space, class_name
from mtl_lightning.compare.planning.configs import SECTIONS
from mtl_lightning.compare.planning.names import is_reserved
from mtl_lightning.errors import UserError, shown
from mtl_lightning.names import checked_name


def weightings(name: str, value: Any) -> list[str]:
    """Classes of the weightings that are named: a list, or names with commas between."""
    named = value.split(",") if isinstance(value, str) else strings(name, value)
    if not all(map(str.strip, named)):
        raise UserError(f"{name}: a name is empty, found {shown(value)}; write them without spaces, or in quotes")
    classes: list[str] = []
    for item in named:
        classes += list(WEIGHTINGS) if item.strip().lower() == "all" else [class_name(item.strip())]
    return list(dict.fromkeys(classes))


def minutes(name: str, value: Any) -> float:
    """Minutes, more than 0."""
    found = parse_value(value) if isinstance(value, str) else value
    if not _is_number(found) or found <= 0:
        raise UserError(f"{name}: expected minutes, more than 0, found {shown(value)}")
    return float(found)


def space(name: str, value: Any) -> Space:
    """What to search, by key."""
    return {key: searched(f"{name}.{key}", spec) for key, spec in mapping(name, value).items()}


def searched(name: str, spec: Any) -> Range | Choice:
    """What one key may be: a list of values, or ``low``, ``high`` and ``log``."""
    if isinstance(spec, list) and spec:
        return Choice(tuple(spec))
    if isinstance(spec, dict) and {"low", "high"} <= set(spec) <= {"low", "high", "log"} and _is_range(**spec):
        return Range(float(spec["low"]), float(spec["high"]), spec.get("log", False))
    raise UserError(f"{name}: expected a list of values or {{low: …, high: …, log: true}}, found {shown(spec)}")


def _is_range(low: Any, high: Any, log: Any = False) -> bool:
    return _is_number(low) and _is_number(high) and isinstance(log, bool) and low < high and (low > 0 or not log)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def variants(name: str, value: Any) -> dict[str, dict[str, Any]]:
    """Changes of the config, by contestant."""
    return {variant: changes_of(variant, changes) for variant, changes in mapping(name, value).items()}


def changes_of(name: str, changes: Any) -> dict[str, Any]:
    """Changes of a config by key; those of a whole section come one by one."""
    checked_name("variant", name)
    if is_reserved(name):
        raise UserError(f"variant '{name}': compare uses this name itself; give the variant another name")
    if isinstance(changes, str):
        changes = read_yaml(changes)
    if not isinstance(changes, dict) or not all(isinstance(key, str) for key in changes):
        raise UserError(f"variant '{name}': expected a YAML file or {{key: value}}, found {shown(changes)}")
    single: dict[str, Any] = {}
    for key, value in changes.items():
        whole = key in SECTIONS and isinstance(value, dict)
        single |= {f"{key}.{part}": item for part, item in value.items()} if whole else {key: value}
    return single
