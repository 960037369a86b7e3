"""Turns a mistake in the input into one line: what is wrong, where, and the nearest match."""

from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException

from mtl_lightning.cli.config_errors.explain import explain
from mtl_lightning.cli.config_errors.lightning_refusals import refusal
from mtl_lightning.cli.config_errors.locate import locate
from mtl_lightning.cli.config_errors.taken_up import not_taken_up
from mtl_lightning.cli.configuration.given import Given
from mtl_lightning.errors import UserError
from mtl_lightning.writing import of_the_machine

__all__ = ["ParserError", "explain", "locate", "one_line"]


class ParserError(UserError):
    """What a parser said about the command line or a config file; :func:`one_line` explains it.

    Not where it is raised: there jsonargparse has changed to the folder of the file that it reads.

    Args:
        message: What the parser said.
        parser: The parser that said it, or the one above it.
    """

    def __init__(self, message: str, parser: Any) -> None:
        super().__init__(message)
        self.parser = parser


def one_line(error: Exception, given: Given) -> str | None:
    """What the command line prints of a mistake in the input.

    Args:
        error: The mistake.
        given: What the command was given.

    Returns:
        What is wrong, in which file and line or flag, and the nearest match where a name is unknown; null if the
        exception is no mistake in the input.
    """
    said = isinstance(error, UserError | MisconfigurationException)
    message = explain(str(error), given, error.parser) if isinstance(error, ParserError) else str(error)
    if not said and (reported := of_the_machine(error)):
        return reported
    located = locate(message, given)
    first = _first(error)
    in_our_words = type(error) is UserError and str(first) != str(error)
    if not said or (located == message and not in_our_words):
        taken_up = None if said else not_taken_up(error, given)
        message = taken_up or refusal(first, given) or (message if said else "")
        located = locate(message, given)
    return " ".join(map(_cut, located.split())) or None


def _cut(word: str, width: int = 300) -> str:
    """A path is shorter."""
    return word if len(word) <= width else f"{word[: width - 1]}…"


def _first(error: BaseException) -> BaseException:
    """What was raised first, where it was raised again with other words."""
    while error.__cause__ not in (None, error):
        assert error.__cause__ is not None
        error = error.__cause__
    return error
