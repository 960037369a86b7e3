"""Paths in a configuration and on the command line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from mtl_lightning.paths import expanded

_NAMES_A_PATH = re.compile(
    r"(.*_)?(root|path|dir|dirpath|folder|files?|filename|json|input|output|tokenizer|model|init_from|label_maps)"
)
"""Keys whose texts are paths, of classes of others too."""

_OF_PATHS = ("files", "label_maps")
"""Keys of a mapping whose values are paths."""

_OF_COLUMNS = ("inputs", "labels")


def expand_paths(config: Namespace) -> None:
    """Expands ``~`` and ``$VARIABLES`` in all paths of a configuration, in place; see :func:`.paths.expanded`.

    Raises:
        UserError: For a variable that is not set; it names the key.
    """
    for key, value in vars(config).items():
        vars(config)[key] = _value(value, (key,), key)


def _value(value: Any, path: Sequence[str], key: str) -> Any:
    """The value at a dotted path; ``key`` is the one that says whether its texts are paths."""
    if isinstance(value, Namespace | dict):
        if path[-1] in _OF_COLUMNS:
            return value
        entries = vars(value) if isinstance(value, Namespace) else value
        for name in entries:
            of_paths = path[-1] in _OF_PATHS and isinstance(entries[name], str)
            entries[name] = _value(entries[name], (*path, str(name)), path[-1] if of_paths else str(name))
    elif isinstance(value, list):
        return [_value(item, path, key) for item in value]
    elif isinstance(value, str | Path) and key != "class_path" and _NAMES_A_PATH.fullmatch(key):
        where = ".".join(part for part in path[1:] if part != "init_args")  # after the command
        return type(value)(expanded(str(value), where))
    return value
