"""``~`` and ``$VARIABLES`` in paths."""

import os
import re

from mtl_lightning.errors import UserError

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


def expanded(path: str, where: str = "") -> str:
    """A path as a shell would read it: ``~`` is the home folder, ``$DATA`` and ``${DATA}`` environment variables.

    Args:
        path: As the user wrote it; one that exists by that name is itself.
        where: Name of the setting, for messages.

    Raises:
        UserError: For a variable that is not set, or a user who has no home folder.

    >>> expanded("${HOME}/train.csv") == expanded("~/train.csv")
    True
    """
    if (not path.startswith("~") and "$" not in path) or os.path.lexists(path):
        return path
    at = f"{where}: " if where else ""
    for variable in _VARIABLE.findall(path):
        if (name := variable.strip("{}")) not in os.environ:
            raise UserError(f"{at}no environment variable {name} is set, for '{path}'; set it, or write the path out")
    home = os.path.expanduser(path)
    if home.startswith("~"):
        raise UserError(f"{at}no home folder is known for '{home.split('/')[0]}'; write the path out")
    return os.path.expandvars(home)
