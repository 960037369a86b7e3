"""Where the value stands that a message is about: in which flag, or in which line of a config file."""

import re

from mtl_lightning.cli.config_errors.files import Entry, entries_of, without_init_args
from mtl_lightning.cli.config_errors.types import said_by_class
from mtl_lightning.cli.configuration.given import Given

_KEY = re.compile(r"((?:model|data|trainer|checkpoint)(?:\.[\w-]+)+)\b")
_INNER = re.compile(r": `(\w+)")
_ARGUMENT = re.compile(r"`(\w+(?:\.\w+)*)`")
_ARGUMENT_FIRST = re.compile(r"(\w+(?:\.\w+)+)(?=[: ])")

Entries = dict[tuple[str, ...], Entry]


def locate(message: str, given: Given) -> str:
    """Puts the flag, or the file and line, in front of a message about a configured value.

    Args:
        message: It begins with the value's key (``data.datasets.snips.labels: …``), or names an argument in backticks.
        given: What the command was given.

    Returns:
        The message, behind ``flag --key:`` or ``file, line n:`` where it is clear that the value stands there.
    """
    message = said_by_class(message)
    entries: Entries = {}
    for entry in entries_of(given):
        entries.setdefault(without_init_args(entry.path), entry)
    if match := _KEY.match(message):
        inner = _INNER.match(message, match.end())
        longer = f"{match[1]}.{inner[1]}" if inner else match[1]
        known = tuple(longer.split(".")) in entries or longer in dict(_flags(given))
        return _with_key(longer if known else match[1], message, entries, given)
    first = _ARGUMENT_FIRST.match(message)
    if match := first or _ARGUMENT.search(message):
        return _with_argument(match, message, entries, given)
    return message


def _with_key(key: str, message: str, entries: Entries, given: Given) -> str:
    flags = [name for name, _ in _flags(given) if f"{key}.".startswith(f"{name}.") or _names_entry(name, key, message)]
    if flags:
        return f"flag --{flags[-1]}: {_without_key(message, flags[-1])}"
    path = tuple(key.split("."))
    known = next((entries[path[:n]] for n in range(len(path), 1, -1) if path[:n] in entries), None)
    return message if known is None else f"{known.place}: {message}"


def _without_key(message: str, flag: str) -> str:
    """What a message says behind its key, where the flag is that key or one below it."""
    key, _, said = message.partition(": ")
    return said if said and f"{flag}.".startswith(f"{key}.") else message


def _names_entry(flag: str, key: str, message: str) -> bool:
    """Whether a flag sets an entry of a mapping that the message names."""
    return flag.startswith(f"{key}.") and f"'{flag.removeprefix(f'{key}.')}'" in message


def _with_argument(match: re.Match[str], message: str, entries: Entries, given: Given) -> str:
    """Of some class, nobody says which: a single key is called so, or one has the value that the message shows."""
    argument, key = match[1], tuple(match[1].split("."))
    within = re.compile(rf"\b{re.escape(key[-1])}:")
    for name, value in _flags(given):
        if name.endswith(f".{argument}") or ("." in name and within.search(value)):
            return f"flag --{name}: {message}"
    found = [path for path in entries if path[-len(key) :] == key and len(path) > len(key)]  # a plug-in's
    if len(found) > 1:
        found = [path for path in found if entries[path].value and entries[path].value[:60] in message]
    if len(found) != 1:
        return message
    place, name = entries[found[0]].place, ".".join(found[0])
    return f"{place}: {name}{message[match.end() :]}" if match.re is _ARGUMENT_FIRST else f"{place}: {name}: {message}"


def _flags(given: Given) -> list[tuple[str, str]]:
    """Names, as messages write them, and values."""
    return [(name.rstrip("+").replace(".init_args", ""), value) for name, value in given.flags]
