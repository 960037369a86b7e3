"""The parser of a command's options."""

from typing import NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from mtl_lightning.cli.config_errors import ParserError


class Parser(LightningArgumentParser):
    """Says in one line what is wrong with the input."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises :class:`ParserError`, which is explained where the working directory is the user's own again."""
        if not any(action.dest in ("subcommand", "trainer") for action in self._actions):
            raise TypeError(message) from ex  # a parser of one class; the one above knows the whole configuration
        raise ParserError(message, self) from ex
