"""What commands with options of their own have in common: help, a guarded terminal, and mistakes in one line."""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

from mtl_lightning.errors import UserError, with_notes
from mtl_lightning.terminal import say
from mtl_lightning.terminal.logs import guard_terminal


class OptionParser(argparse.ArgumentParser):
    """Reads the options of a command, written out in full; help is :func:`run_command`'s.

    Args:
        command: Name of the command, for messages; empty: they say it themselves.
        settings: Of ``argparse.ArgumentParser``.
    """

    def __init__(self, command: str = "", **settings: Any) -> None:
        super().__init__(add_help=False, allow_abbrev=False, **settings)
        self._before = f"{command}: " if command else ""

    def error(self, message: str) -> Any:
        """Raises what is wrong as :class:`UserError`."""
        raise UserError(f"{self._before}{message}")


def run_command(arguments: Sequence[str], description: str, work: Callable[[], int]) -> int:
    """Prints the help of a command, or does its work and says a mistake in the input in one line.

    Args:
        arguments: After the command's name.
        description: The help.
        work: It returns the exit status.

    Returns:
        The exit status; 2 for a mistake in the input.

    Raises:
        UserError: Of a mistake in the input, where ``MTL_TRACEBACK`` is set.
    """
    if {"--help", "-h"} & set(arguments):
        say(description.rstrip("\n"))
        return 0
    guard_terminal()
    try:
        return work()
    except UserError as error:
        if os.environ.get("MTL_TRACEBACK"):
            raise
        say(f"error: {' '.join(with_notes(str(error), error).split())}", error=True)
        return 2
