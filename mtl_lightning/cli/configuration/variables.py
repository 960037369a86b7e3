"""Settings that environment variables hold: ``MTL_<COMMAND>__<KEY>``, dots as ``__``, and those of Weights & Biases."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mtl_lightning.cli.configuration.merge import arguments_of
from mtl_lightning.cli.configuration.plain_yaml import parse_value
from mtl_lightning.paths import expanded

_WANDB_MODES = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "off",
}


class Variable(NamedTuple):
    """An environment variable that sets a key.

    Attributes:
        name: Of the variable.
        key: As it can be read off the name: all parts in lower case.
        text: What it holds.
    """

    name: str
    key: str
    text: str


def variables(command: str, environment: Mapping[str, str]) -> tuple[Variable, ...]:
    """The variables that set keys of a command, shorter keys first; ours win over those of Weights & Biases.

    A variable that is empty counts as not set.

    Args:
        command: Its name.
        environment: Variables by name.
    """
    prefix = f"MTL_{command.upper()}__"
    ours = [
        Variable(name, ".".join(map(_lower, name.removeprefix(prefix).split("__"))), text)
        for name, text in environment.items()
        if name.startswith(prefix) and text and name != f"{prefix}CONFIG" and _names_a_key(name)
    ]
    return (*_of_wandb(environment), *sorted(ours, key=lambda variable: (variable.key.count("."), variable.name)))


def _of_wandb(environment: Mapping[str, str]) -> Iterator[Variable]:
    """Variables of Weights & Biases that say what a key of ours says; further ones are the logger's."""
    if project := environment.get("WANDB_PROJECT"):
        yield Variable("WANDB_PROJECT", "project", project)
    if mode := environment.get("WANDB_MODE"):
        yield Variable("WANDB_MODE", "wandb", _WANDB_MODES.get(mode, mode))  # what is none, the parser refuses
    if environment.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes"):
        yield Variable("WANDB_DISABLED", "wandb", "off")


def files_of_environment(command: str, environment: Mapping[str, str]) -> list[str]:
    """The configuration files that ``MTL_<COMMAND>__CONFIG`` names: one, or a list."""
    text = environment.get(f"MTL_{command.upper()}__CONFIG", "")
    value = parse_value(text)
    files = map(str, value) if isinstance(value, list) else [text] if text else []
    return [expanded(file, f"MTL_{command.upper()}__CONFIG") for file in files]


def without_effect(command: str, commands: tuple[str, ...], environment: Mapping[str, str]) -> list[str]:
    """What to say of variables that look like settings and are none.

    Args:
        command: That is run.
        commands: All that there are.
        environment: Variables by name.
    """
    prefixes = tuple(f"MTL_{name.upper()}__" for name in commands)
    odd = [name for name in sorted(environment) if name.startswith("MTL_") and "__" in name]
    return [
        f"environment variable {name} has no effect; settings are called MTL_{command.upper()}__<KEY>"
        for name in odd
        if not name.startswith(prefixes) or not _names_a_key(name)
    ]


def spelled(key: str, config: Mapping[str, Any]) -> str:
    """A key with the names that the user chose as the configuration spells them: variables are in upper case.

    Args:
        key: Of a variable.
        config: What is configured so far.
    """
    parts, node = [], config
    for part in key.split("."):
        inner = arguments_of(node)
        names = {str(name).lower(): str(name) for name in (*inner, *node)} if isinstance(node, Mapping) else {}
        name = names.get(part.lower(), part)
        parts.append(name)
        found = node.get(name, inner.get(name)) if isinstance(node, Mapping) else None
        node = found if isinstance(found, Mapping) else {}
    return ".".join(parts)


def _names_a_key(name: str) -> bool:
    return all(name.split("__"))


def _lower(part: str) -> str:
    return part.lower() if part.isupper() else part
