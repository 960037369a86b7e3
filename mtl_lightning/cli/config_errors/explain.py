"""What a parser's message means."""

import re
from collections.abc import Sequence
from typing import Any

from mtl_lightning.cli.class_help import classes_for
from mtl_lightning.cli.config_errors.classes import class_at, classes, keys_of, parameters
from mtl_lightning.cli.config_errors.files import Entry, entries_of, without_init_args
from mtl_lightning.cli.config_errors.types import WrongType, innermost, may_be_number, wrong_type
from mtl_lightning.cli.configuration.given import Given
from mtl_lightning.cli.configuration.merge import is_class
from mtl_lightning.errors import did_you_mean
from mtl_lightning.trust.parsing import refused

_UNKNOWN_OPTION = re.compile(r"(?:does not accept option|Option) '([^']+)'|unrecognized arguments: (\S+)")
_UNKNOWN_CLASS = re.compile(
    r"(?:Expected a dot import path string|Unexpected import path format): (\S+)|given class_path '([^']+)'"
    r"|Expected a path but (\S+) either not accessible or invalid.*(?:No module named|has no attribute)"
    r"|expects a function or a callable class: (?:No module named|module '[^']*' has no attribute).*Got value: (\S+)",
    re.DOTALL,
)
_REQUIRED = re.compile(r"arguments are required: (?:\w+\.)?(\S+)")
_WRONG_VALUE = re.compile(r'Parser key "([\w.]+)":\s*(?!\s*Parser key)(.*)', re.DOTALL)
_NO_CLASS = re.compile(r"Expected a dot import path string:( *)$|Not a valid subclass of \w+\. Got value: ([^\n]*)")
_PARSER_KEY = re.compile(r'Parser key "([\w.]+)"')


def explain(message: str, given: Given, parser: Any) -> str:
    """One line for a message of jsonargparse.

    Args:
        message: What the parser said.
        given: What the command was given.
        parser: The parser that said it, or the one above it.

    Returns:
        What is wrong, in which file and line or flag, and the nearest match where a name is unknown.
    """
    message, entries = message.removeprefix('Parser key "config": '), entries_of(given)
    of_right_kind = _UNKNOWN_OPTION.search(message) or _REQUIRED.search(message)  # for one of several annotations
    if (said := refused(message)) is not None and not of_right_kind:
        return _refused(said, given, entries)
    if match := _UNKNOWN_OPTION.search(message):
        return _unknown_option(next(filter(None, match.groups())), given, entries, keys_of(parser, given.command))
    unknown = next((name for match in _UNKNOWN_CLASS.finditer(message) for name in match.groups() if name), None)
    if unknown is not None and (is_class(unknown) or not may_be_number(message)):
        return _unknown_class(unknown, given, entries)
    if match := _REQUIRED.search(message):
        name = ".".join([*_PARSER_KEY.findall(message)[:1], match[1].rstrip(",")])
        return f"`{name}` is missing; give it in a config file or as --{name}"
    if match := _WRONG_VALUE.search(message):
        key, details = innermost(match[1], match[2])
        return _wrong_value(key, details, given, entries, _PARSER_KEY.findall(message)[0])
    return _one_line(message)


def _unknown_option(name: str, given: Given, entries: Sequence[Entry], keys: Sequence[str]) -> str:
    path = tuple(name.lstrip("-").split("=")[0].split("."))
    flags = sorted((f for f, _ in given.flags if f.split(".")[-len(path) :] == list(path)), key=len)
    flag = next(iter(flags), None)
    entry = next((e for e in entries if e.path == path or (len(path) == 1 and e.path[-1] == path[0])), None)
    if flag is not None:
        path, place = tuple(flag.split(".")), f"flag --{flag}"
    elif entry is not None:
        path, place = entry.path, entry.place
    elif (holder := _holder(path, given, entries)) is not None:
        path, place = (*holder.path, *path), holder.place
    else:
        return f"unexpected argument '{name}'; options start with '--'"
    for end in range(1, len(path) + 1):
        prefix, start = ".".join(path[:end]), ".".join(path[: end - 1])
        below = [key for key in keys if key.startswith(f"{prefix}.")]
        if prefix not in keys and not below:
            choices = {key.removeprefix(start).lstrip(".").split(".")[0] for key in keys if key.startswith(start)}
            place = next((e.place for e in entries if e.path == path[:end]), place) if flag is None else place
            whole = {".".join(without_init_args(e.path)) for e in entries} | set(keys)
            longer = sorted(key for key in whole if end == 1 and key.endswith(f".{prefix}"))[:1]
            hint = f"did you mean '{longer[0]}'?" if longer else did_you_mean(path[end - 1], choices)
            return f"{place}: unknown key '{prefix}'; {hint}"
        if not below:
            break
    where = ".".join(without_init_args(path[:-1]))
    cls = class_at(without_init_args(path[:-1]), given, entries)
    if cls is None:
        return f"{place}: '{where}' has no argument '{path[-1]}'"
    return f"{place}: {cls.__name__} ({where}) has no argument '{path[-1]}'; {did_you_mean(path[-1], parameters(cls))}"


def _holder(path: Sequence[str], given: Given, entries: Sequence[Entry]) -> Entry | None:
    """The flag or variable whose value is a mapping in which a key stands."""
    flags = [Entry(tuple(key.split(".")), f"flag --{key}", text) for key, text in reversed(given.flags)]
    key = re.compile(rf"\b{re.escape(path[-1])}\b['\"]?\s*:")
    return next((entry for entry in [*flags, *entries] if "{" in entry.value and key.search(entry.value)), None)


def _unknown_class(name: str, given: Given, entries: Sequence[Entry]) -> str:
    place, key = _place(name, given, entries)
    if not place:
        return f"no class '{name}'; {did_you_mean(name, classes())}"
    if name in ("None", "none", "NULL"):
        return f"{place}: '{name}' is not a class; for none, write null: --{key}=null"
    if "." in name:
        return f"{place}: cannot import '{name}' for '{key}'; check module and class, and that it is installed"
    return f"{place}: no class '{name}' for '{key}'; {did_you_mean(name, classes_for(key) or classes())}"


def _refused(said: str, given: Given, entries: Sequence[Entry]) -> str:
    place, key = _place(said.split("'")[1], given, entries)
    if not place:  # in a file that the configuration names
        return said
    return f"{place}: {said}" if place.endswith(key) else f"{place}: `{key}`: {said}"


def _place(name: str, given: Given, entries: Sequence[Entry]) -> tuple[str, str]:
    """Where a class is named, and at which key; empty: nobody knows."""
    flag = next((key for key, text in given.flags if _names(text, name)), None)
    entry = next((entry for entry in entries if _names(entry.value, name)), None)
    if flag is not None:
        path, place = tuple(flag.split(".")), f"flag --{flag}"
    elif entry is not None:
        path, place = entry.path, entry.place
    else:
        return "", ""
    return place, ".".join(without_init_args(path[:-1] if path[-1] == "class_path" else path))


def _names(text: str, name: str) -> bool:
    return text == name or ("." in name and re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text) is not None)


def _wrong_value(key: str, details: str, given: Given, entries: Sequence[Entry], outer: str) -> str:
    """Of a key as the parser of a class writes it, somewhere below ``outer``."""
    no_class = _NO_CLASS.search(details)
    wrong = WrongType(["a class"], (no_class[2] or "").strip()) if no_class else wrong_type(details)
    if wrong is None:
        return _one_line(f"{key}: {details}")
    flags = [f for f in (key for key, _ in given.flags) if f.startswith(outer)]
    below = [e for e in entries if ".".join(e.path).startswith(outer)]
    near = [e for e in below if ".".join(e.path).endswith(key) and e.value == wrong.value]
    near += [e for e in below if e.path[-1] == key.split(".")[-1]]
    if named := [f for f in flags if f == key or f.endswith(f".{key}") or f.startswith(f"{key}.")]:
        where = f"flag --{named[-1]}"
    elif near:
        where = f"{near[0].place}: '{'.'.join(without_init_args(near[0].path))}'"
    else:
        where = f"'{key}'"
    return (
        f"{where}: expected {' or '.join(wrong.expected)}, found {_cut(wrong.value) or 'nothing'}{_hint_of_word(wrong)}"
    )


def _cut(text: str, width: int = 120) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _hint_of_word(wrong: WrongType) -> str:
    if wrong.value == "None" and "null" in wrong.expected:
        return "; Python's None is null here"
    words = re.search(r"\b(True|False)\b", wrong.value)
    return "; to mean words, put them in quotes" if words and "str" in " ".join(wrong.expected) else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]
