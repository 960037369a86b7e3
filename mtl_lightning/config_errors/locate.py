"""Where in a config file the value stands that a message is about."""

import re
from collections.abc import Sequence

from mtl_lightning.config_errors.files import Entry, config_files, entries_of, unreadable, without_init_args
from mtl_lightning.config_errors.types import said_by_class

_KEY = re.compile(r"((?:model|data|trainer)(?:\.[\w-]+)+)\b")
_ARGUMENT = re.compile(r"`(\w+(?:\.\w+)*)`")
_ARGUMENT_FIRST = re.compile(r"(\w+(?:\.\w+)+)(?=[: ])")


def locate(message: str, arguments: Sequence[str]) -> str:
    """Puts the file and line in front of a message about a configured value.

    Args:
        message: It begins with the value's key (``data.datasets.snips.labels: …``), or names an argument in backticks.
        arguments: The command line.

    Returns:
        The message, behind ``file, line n:`` where the key stands in a config file.
    """
    message = said_by_class(message)
    entries: dict[tuple[str, ...], Entry] = {}
    for entry in entries_of([file for file in config_files(arguments) if unreadable(file) is None]):
        entries.setdefault(without_init_args(entry.path), entry)
    if match := _KEY.match(message):
        key = tuple(match[1].split("."))
        known = next((entries[key[:n]] for n in range(len(key), 1, -1) if key[:n] in entries), None)
        return message if known is None else f"{known.place}: {message}"
    first = _ARGUMENT_FIRST.match(message)
    if match := first or _ARGUMENT.search(message):
        key = tuple(match[1].split("."))
        found = [path for path in entries if path[-len(key) :] == key and len(path) > len(key)]  # a plug-in's
        if len(found) > 1:
            found = [path for path in found if entries[path].value and entries[path].value in message]
        if len(found) == 1:
            place, name = entries[found[0]].place, ".".join(found[0])
            return f"{place}: {name}{message[match.end() :]}" if first else f"{place}: {name}: {message}"
    return message
