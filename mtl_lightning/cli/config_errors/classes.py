"""The classes that a configuration can name, and the keys of a parser."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mtl_lightning.cli.config_errors.files import Entry, without_init_args
from mtl_lightning.cli.configuration.given import Given
from mtl_lightning.cli.configuration.merge import class_path
from mtl_lightning.cli.configuration.plain_yaml import parse_value
from mtl_lightning.data import DataSource, Schedule, Split
from mtl_lightning.encoders import Encoder
from mtl_lightning.inner_loops import InnerLoop
from mtl_lightning.sharing import Sharing
from mtl_lightning.tasks import Task
from mtl_lightning.weighting import Weighting

_BASES = (
    *(Encoder, Task, Weighting, Sharing, InnerLoop),
    *(DataSource, Split, Schedule, Optimizer, LRScheduler, Callback, Logger),
)
_GIVEN: Mapping[type, Sequence[str]] = {Weighting: ["tasks"], Sharing: ["tasks", "encoder"]}
"""Arguments that the model gives."""


def classes() -> dict[str, type]:
    """Classes that can be named in a config, by short name: torch's before those of other libraries below them."""

    def below(cls: type) -> Iterator[type]:
        subclasses: list[type] = type.__subclasses__(cls)
        for subclass in subclasses:
            yield subclass
            yield from below(subclass)

    found = {cls.__name__: cls for cls in reversed([cls for base in _BASES for cls in below(base)])}
    return {name: cls for name, cls in found.items() if not inspect.isabstract(cls) and not name.startswith("_")}


def class_at(path: Sequence[str], given: Given, entries: Sequence[Entry]) -> type | None:
    """The class configured at a key, by a flag or in a file."""
    flags = [text for key, text in given.flags if key in (".".join(path), ".".join([*path, "class_path"]))][::-1]
    names = [class_path(parse_value(text)) or text for text in flags]
    for entry in entries:
        if entry.value and without_init_args(entry.path) in (tuple(path), (*path, "class_path")):
            names.append(entry.value)
    return classes().get(names[0].split(".")[-1]) if names else None


def parameters(cls: type) -> list[str]:
    """Names of the arguments that a configuration can give a class."""
    ours = [name for base, names in _GIVEN.items() if issubclass(cls, base) for name in names]
    hidden = ("self", "args", "kwargs", "params", "optimizer", *ours)
    return [name for name in inspect.signature(cls).parameters if name not in hidden]


def keys_of(parser: Any, command: str) -> list[str]:
    """Keys of the command's parser."""
    for action in parser._actions:
        if isinstance(action.choices, dict) and command in action.choices:
            parser = action.choices[command]
            break
    questions = ("help", "print_config", "print_model", "plan_ranks")
    return [action.dest for action in parser._actions if action.dest.split(".")[-1] not in questions]
