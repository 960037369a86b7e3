"""The parser of a command's options."""

from argparse import Namespace, _HelpAction
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import yaml
from jsonargparse import get_loader, set_loader
from lightning.pytorch.cli import LightningArgumentParser

import mtl_lightning.cli.whole_numbers  # noqa: F401 - it changes how values are read
from mtl_lightning.cli.config_errors import ParserError
from mtl_lightning.words import WordLoader
from mtl_lightning.yaml_limits import check_yaml

WORDS = "words"
"""The parser's mode in which ``no`` in a list of labels is a word; see :class:`.WordLoader`."""


class Question(_HelpAction):  # which jsonargparse takes for no key of the configuration
    """A flag without a value that asks something; the parser notes it in ``asked``."""

    def __call__(self, parser: "Parser", namespace: Namespace, values: Any, option_string: str | None = None) -> None:  # type: ignore[override]
        """Notes it."""
        parser.asked = {**parser.asked, self.dest: values}


class NumberQuestion(Question):
    """The same with a number, as ``--plan_ranks 128``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.nargs, self.metavar = None, "N"


class Parser(LightningArgumentParser):
    """Says in one line what is wrong with the input; a value is a value, never the name of a file to read.

    LightningCLI would take the word at ``model.encoder`` for a path or an address, open whatever is there, also where
    a checkpoint says so, and read it to its end. Files are read by :mod:`.configuration` alone.

    Attributes:
        asked: Names of the questions that were asked, and the text that came with each.
    """

    asked: Mapping[str, Any] = MappingProxyType({})

    def add_class_arguments(self, *args: Any, **kwargs: Any) -> Any:
        """As of jsonargparse."""
        return super().add_class_arguments(*args, **kwargs | {"sub_configs": False})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises :class:`ParserError`, which is explained where the working directory is the user's own again."""
        if not any(action.dest in ("subcommand", "trainer") for action in self._actions):
            raise TypeError(message) from ex  # a parser of one class; the one above knows the whole configuration
        raise ParserError(message, self) from ex


def _load(text: str) -> Any:
    """What jsonargparse makes of a text; within lists and mappings words stay words, and types decide."""
    check_yaml(text, WordLoader)
    value = yaml.load(text, Loader=WordLoader)
    several = isinstance(value, list) or (isinstance(value, dict) and any(v is not None for v in value.values()))
    if several:
        return value
    single = get_loader("yaml")(text)
    return text if isinstance(single, int) and single.bit_length() > 63 else single


def is_class_default(parser: Any, key: str) -> bool:
    """Whether a key has a class as its default."""
    try:
        default = parser.get_default(key)
    except KeyError:
        return False
    return callable(default) or bool(getattr(default, "get", lambda name: None)("class_path"))


set_loader(WORDS, _load, exceptions=(yaml.YAMLError, ValueError))
