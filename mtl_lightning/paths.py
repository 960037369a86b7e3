"""``~`` and ``$VARIABLES`` in paths."""

import os
import re
from pathlib import Path
from typing import Any

from mtl_lightning.errors import UserError

_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<braced>[^}]*?)(?P<default>:-[^}]*)?\})")


def expanded(path: str | os.PathLike[str], where: str = "") -> str:
    """A path as a shell would read it: ``~`` is the home folder, ``$DATA`` and ``${DATA}`` environment variables.

    ``${DATA:-data}`` is ``data`` where the variable is not set, or empty.

    Args:
        path: As the user wrote it; one that exists by that name is itself.
        where: Name of the setting, for messages.

    Raises:
        UserError: For a variable that is not set, or a user who has no home folder.

    >>> expanded("${HOME}/train.csv") == expanded("~/train.csv")
    True
    >>> expanded("${NOT_SET:-data}/train.csv")
    'data/train.csv'
    """
    path = os.fspath(path)
    if (not path.startswith("~") and "$" not in path) or os.path.lexists(path):
        return path
    at = f"{where}: " if where else ""
    for variable in _VARIABLE.finditer(path):
        name = variable["plain"] or variable["braced"]
        if name not in os.environ and variable["default"] is None:
            raise UserError(f"{at}no environment variable {name} is set, for '{path}'; set it, or write the path out")
    home = os.path.expanduser(path)
    if home.startswith("~"):
        raise UserError(f"{at}no home folder is known for '{home.split('/')[0]}'; write the path out")
    return _VARIABLE.sub(_value, home)


def located(root: str, value: Any) -> Any:
    """A raw value of an input of files, in which a text is a path, as a ``pathlib.Path`` from a folder on.

    Args:
        root: The folder.
        value: Raw; of an object with ``bytes`` and ``path``, as `datasets` has it, the path counts if there are none.
    """
    if isinstance(value, dict) and value.get("bytes") is None and value.get("path"):
        value = value["path"]
    return Path(root, value).absolute() if isinstance(value, str) and value.strip() else value


def located_file(root: str, value: Any, endings: tuple[str, ...] = (".npy",)) -> Any:
    """A raw value that may be the path of a file, as the whole path from a folder on; others are as they are.

    Args:
        root: The folder.
        value: Raw; of several columns, or a list of texts, each; of an object with ``bytes`` and ``path``, as
            `datasets` has it, what it holds: the bytes, or where there are none the path.
        endings: Of texts that are paths, in lower case.
    """
    if isinstance(value, dict) and set(value) == {"bytes", "path"}:
        value = value["path"] if value["bytes"] is None else value["bytes"]
    if isinstance(value, tuple) or (isinstance(value, list) and value and isinstance(value[0], str)):
        return type(value)(located_file(root, part, endings) for part in value)
    is_path = isinstance(value, str) and value.lower().endswith(endings)
    return str(Path(root, value).absolute()) if is_path else value


def _value(variable: re.Match[str]) -> str:
    value = os.environ.get(variable["plain"] or variable["braced"], "")
    default = (variable["default"] or "").removeprefix(":-")
    return value or os.path.expanduser(default)
