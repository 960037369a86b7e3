"""Where the value stands that a message is about: in which flag, or in which line of a config file."""

import re
from collections.abc import Sequence

from mtl_lightning.cli.config_errors.files import Entry, config_files, entries_of, unreadable, without_init_args
from mtl_lightning.cli.config_errors.types import said_by_class

_KEY = re.compile(r"((?:model|data|trainer|checkpoint)(?:\.[\w-]+)+)\b")
_INNER = re.compile(r": `(\w+)")
_ARGUMENT = re.compile(r"`(\w+(?:\.\w+)*)`")
_ARGUMENT_FIRST = re.compile(r"(\w+(?:\.\w+)+)(?=[: ])")

Entries = dict[tuple[str, ...], Entry]


def locate(message: str, arguments: Sequence[str]) -> str:
    """Puts the flag, or the file and line, in front of a message about a configured value.

    Args:
        message: It begins with the value's key (``data.datasets.snips.labels: …``), or names an argument in backticks.
        arguments: The command line.

    Returns:
        The message, behind ``flag --key:`` or ``file, line n:`` where it is clear that the value stands there.
    """
    message = said_by_class(message)
    entries: Entries = {}
    for entry in entries_of([file for file in config_files(arguments) if unreadable(file) is None]):
        entries.setdefault(without_init_args(entry.path), entry)
    if match := _KEY.match(message):
        inner = _INNER.match(message, match.end())
        longer = f"{match[1]}.{inner[1]}" if inner else match[1]
        given = tuple(longer.split(".")) in entries or longer in dict(_flags(arguments))
        return _with_key(longer if given else match[1], message, entries, arguments)
    first = _ARGUMENT_FIRST.match(message)
    if match := first or _ARGUMENT.search(message):
        return _with_argument(match, message, entries, arguments)
    return message


def _with_key(key: str, message: str, entries: Entries, arguments: Sequence[str]) -> str:
    flags = [name for name, _ in _flags(arguments) if f"{key}.".startswith(f"{name}.")]
    if flags:
        return f"flag --{message}" if message.startswith(f"{flags[-1]}:") else f"flag --{flags[-1]}: {message}"
    path = tuple(key.split("."))
    known = next((entries[path[:n]] for n in range(len(path), 1, -1) if path[:n] in entries), None)
    return message if known is None else f"{known.place}: {message}"


def _with_argument(match: re.Match[str], message: str, entries: Entries, arguments: Sequence[str]) -> str:
    """Of some class, nobody says which: a single key is called so, or one has the value that the message shows."""
    argument, key = match[1], tuple(match[1].split("."))
    within = re.compile(rf"\b{re.escape(key[-1])}:")
    for name, value in _flags(arguments):
        if name.endswith(f".{argument}") or ("." in name and within.search(value)):
            return f"flag --{name}: {message}"
    found = [path for path in entries if path[-len(key) :] == key and len(path) > len(key)]  # a plug-in's
    if len(found) > 1:
        found = [path for path in found if entries[path].value and entries[path].value in message]
    if len(found) != 1:
        return message
    place, name = entries[found[0]].place, ".".join(found[0])
    return f"{place}: {name}{message[match.end() :]}" if match.re is _ARGUMENT_FIRST else f"{place}: {name}: {message}"


def _flags(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Names, as messages write them, and values."""
    found = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument.startswith("--"):
            name, attached, value = argument.removeprefix("--").partition("=")
            found.append((name.rstrip("+").replace(".init_args", ""), value if attached else following))
    return found
