"""Libraries that single recipes need, and the package does not."""

from importlib import import_module
from typing import Any

from mtl_lightning.errors import UserError


def need(module: str, package: str = "") -> Any:
    """A module, imported.

    Args:
        module: Its name.
        package: That has it; empty: of the same name.

    Raises:
        UserError: If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = package or module
        raise UserError(f"this data set needs {name}; `pip install {name}`, then run the same command again") from error
