"""The configuration that files, environment variables and flags come to: later ones win, in this order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtl_lightning.cli.configuration.given import SECTIONS, Given
from mtl_lightning.cli.configuration.merge import Merge, Replaced
from mtl_lightning.cli.configuration.plain_yaml import Config, read_yaml
from mtl_lightning.cli.configuration.variables import spelled
from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.paths import expanded


def resolve(given: Given, read: Callable[[str, str], Any]) -> tuple[Config, list[str]]:
    """What a command is to do, as far as it is given.

    Args:
        given: What it was given.
        read: Makes a value of the key and text of a flag or variable.

    Returns:
        The configuration, and a line for each setting that is lost with the class it was given to.

    Raises:
        UserError: If a file cannot be read.
    """
    merge = Merge(given.base.config if given.base is not None else None)
    for file in given.files:
        for key, value in _read(file).items():
            merge.put(key, value)
    for variable in given.variables:
        key = spelled(variable.key, merge.config)
        if variable.name == "WANDB_MODE" and merge.config.get("wandb") in ("off", False):
            continue  # it says how Weights & Biases logs, not whether
        merge.put(key, _value(read, key, variable.text, f"environment variable {variable.name}"))
    for key, text in given.flags:
        merge.put(key, _value(read, key, text, f"flag --{key}"))
    refuse_malformed(merge.config)
    return merge.config, [said(item) for item in merge.lost()]


def refuse_malformed(config: Config) -> None:
    """Makes sure that sections hold keys and values, and that there are some.

    Raises:
        UserError: If one is something else, or a task or data set is null.
    """
    for section in SECTIONS:
        keys = config.setdefault(section, {})
        if not isinstance(keys, dict) or not all(isinstance(key, str) and key for key in keys):
            raise UserError(f"{section}: expected keys and values, found {shown(config[section])}")
    _refuse_nothing("model.tasks", config["model"].get("tasks"))
    _refuse_nothing("data.datasets", config["data"].get("datasets"))


def said(item: Replaced) -> str:
    """What a line says of a class that gave way to another one."""
    names = ", ".join(f"'{name}'" for name in item.arguments)
    is_are = "is" if len(item.arguments) == 1 else "are"
    return f"{'.'.join(item.path)}: {item.new} replaces {item.old}, whose {names} {is_are} dropped with it"


def _value(read: Callable[[str, str], Any], key: str, text: str, place: str) -> Any:
    try:
        if key in SECTIONS and text.endswith((".yaml", ".yml")):
            return read_yaml(expanded(text))
        value = read(key, text)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
    if key in SECTIONS and not isinstance(value, dict):
        raise UserError(f"{place}: expected keys and values, found {shown(value)}")
    return value


def _refuse_nothing(key: str, items: Any) -> None:
    """Makes sure that each task and data set is one: ``null`` removes it, if there is one to remove."""
    if not isinstance(items, dict):
        return
    if odd := [name for name in items if not isinstance(name, str | int) or isinstance(name, bool)]:
        raise UserError(
            f"{key}: the name {'null' if odd[0] is None else shown(odd[0])} must be a word; put it in quotes"
        )
    others = [str(name) for name, item in items.items() if item is not None]
    for name, item in items.items():
        if item is None:
            none = f"null removes an entry, but there is none of this name: {did_you_mean(str(name), others)}"
            raise UserError(f"{key}.{name}: expected a class, found null; {none}")


def _read(file: str) -> Config:
    """A file; a section may be a file of its own, beside it."""
    config = read_yaml(file)
    for section in SECTIONS:
        name = config.get(section, {})
        if name is None:
            del config[section]  # `trainer:` with nothing below
        if isinstance(name, str) and name.endswith((".yaml", ".yml")):
            config[section] = read_yaml(str(Path(file).parent / name))
    return config
