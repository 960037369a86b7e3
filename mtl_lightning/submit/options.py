"""Reads the options of ``submit`` from the command line and from a file."""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, get_args

from mtl_lightning.cli.configuration.plain_yaml import parse_value, read_yaml
from mtl_lightning.cluster.job import seconds_of
from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.names import checked_name, part_of_path
from mtl_lightning.submit.settings import Format, Settings

_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_SIGNAL = re.compile(r"(?:B:)?[A-Z0-9]+(?:@\d+)?")
_OF_THE_JOB = ("trainer.num_nodes", "trainer.devices")


def parse(arguments: Sequence[str]) -> Settings:
    """Reads the command line.

    Args:
        arguments: After ``submit``.

    Raises:
        UserError: If an option or value is unknown.
    """
    if not arguments or arguments[0] != "fit":
        found = f"found '{arguments[0]}'" if arguments else "found nothing"
        raise UserError(f"submit takes the command to submit first: `mtl-lightning submit fit --config …`; {found}")
    given, flags = _parser().parse_known_args([_underscored(argument) for argument in arguments[1:]])
    options = _of_file(given.cluster) if given.cluster else {}
    own = {name: value for name in _CONVERT if (value := getattr(given, name)) is not None}
    options["flags"] = [*options.get("flags", []), *flags]
    settings = Settings(**{**options, **{name: _CONVERT[name](name, value) for name, value in own.items()}})
    settings.variants = dict(_variant(text) for text in given.variant)
    if len({part_of_path(name) for name in settings.variants}) < len(given.variant):
        raise UserError("--variant: two have the same name; give each a name of its own")
    _check(settings)
    return settings


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """Raises what is wrong as :class:`UserError`."""
        raise UserError(f"submit: {message}")


def _parser() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--cluster")
    parser.add_argument("--variant", action="append", default=[])
    for name in _CONVERT:
        if name == "dry_run":
            parser.add_argument(f"--{name}", nargs="?", const="true")
        else:
            parser.add_argument(f"--{name}", action="append" if name == "sbatch" else "store")
    return parser


def _underscored(argument: str) -> str:
    """An option as it is known here, also with SLURM's hyphens: ``--gpus-per-node``."""
    key, equals, value = argument.partition("=")
    name = key[2:].replace("-", "_")
    return f"--{name}{equals}{value}" if key.startswith("--") and name in _CONVERT else argument


def _of_file(file: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, value in read_yaml(file).items():
        name = key.replace("-", "_")
        if name == "fit":
            options["flags"] = _flags(f"{file}: fit", value)
        elif name in _CONVERT:
            options[name] = _CONVERT[name](f"{file}: {key}", value)
        else:
            raise UserError(f"{file}: submit has no option '{key}'; {did_you_mean(name, [*_CONVERT, 'fit'])}")
    return options


def _flags(name: str, value: Any) -> list[str]:
    """Options of ``fit`` that are a mapping in a file."""
    if not isinstance(value, dict):
        raise UserError(f"{name}: expected {{key: value}}, found {shown(value)}")
    return [f"--{key}={item if isinstance(item, str) else json.dumps(item)}" for key, item in value.items()]


def _variant(text: str) -> tuple[str, list[str]]:
    name, equals, changes = text.partition("=")
    if not equals or not changes:
        raise UserError(f"--variant {text}: expected NAME=FILE or NAME={{key: value}}")
    checked_name("variant", name)
    value = parse_value(changes)
    return name, [f"--config={value}"] if isinstance(value, str) else _flags(f"variant '{name}'", value)


def _check(settings: Settings) -> None:
    """Refuses what cannot be one job."""
    for flag in settings.flags:
        if (key := flag.partition("=")[0].removeprefix("--")) in _OF_THE_JOB:
            raise UserError(f"{key}: submit sets it: give `--nodes`, and `--gpus-per-node` or `--tasks-per-node`")
    gpus, tasks = settings.gpus_per_node, settings.tasks_per_node
    if gpus and tasks not in (None, gpus):
        raise UserError(f"--tasks-per-node {tasks}: each process takes one of the {gpus} GPUs of a node; leave it out")
    if settings.format != "sbatch" and not settings.dry_run:
        raise UserError(f"--format {settings.format} prints what others start: give `--dry_run`, too")
    if settings.at_once is not None and not (settings.seeds or settings.variants):
        raise UserError("--at-once is for several runs: give `--seeds` or `--variant`")


def _count(least: int) -> Callable[[str, Any], int]:
    def convert(name: str, value: Any) -> int:
        found = parse_value(value) if isinstance(value, str) else value
        if type(found) is not int or found < least:
            raise UserError(f"{name}: expected a whole number, at least {least}, found {shown(value)}")
        return found

    return convert


def _word(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{name}: expected a word, found {shown(value)}")
    return value


def _time(name: str, value: Any) -> str:
    text = str(value) if type(value) is int else _word(name, value)
    if seconds_of(text) < 1:
        raise UserError(f"{name}: expected more than nothing, found '{text}'")
    return text


def _signal(name: str, value: Any) -> str:
    text = _word(name, value)
    if _SIGNAL.fullmatch(text) is None:
        raise UserError(f"{name}: expected a signal and seconds, such as USR1@120, found '{text}'")
    return text


def _switch(name: str, value: Any) -> bool:
    found = parse_value(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise UserError(f"{name}: expected true or false, found {shown(value)}")
    return found


def _requeue(name: str, value: Any) -> bool:
    """The words of ``fit``, of which this is an option too."""
    if value not in ("auto", "never"):
        raise UserError(f"{name}: expected auto or never, found {shown(value)}")
    return bool(value == "auto")


def _format(name: str, value: Any) -> str:
    if value not in get_args(Format):
        raise UserError(f"{name}: unknown '{value}'; {did_you_mean(str(value), get_args(Format))}")
    return str(value)


def _words(name: str, value: Any) -> list[str]:
    return [_word(name, item) for item in (value if isinstance(value, list) else [value])]


def _seeds(name: str, value: Any) -> list[int]:
    """Seeds: so many from 0, those given, or from one to another."""
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        seeds: Any = list(range(int(found[1]), int(found[2]) + 1))
    else:
        value = parse_value(f"[{value}]" if "," in value else value) if isinstance(value, str) else value
        seeds = list(range(value)) if type(value) is int else value
    good = isinstance(seeds, list) and seeds and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not good or len(set(seeds)) < len(seeds):
        raise UserError(f"{name}: expected a number of seeds, some (0,1,2) or a range (0..4), found {shown(value)}")
    return list(seeds)


_CONVERT: dict[str, Callable[[str, Any], Any]] = {
    "nodes": _count(1),
    "gpus_per_node": _count(0),
    "gpu_type": _word,
    "tasks_per_node": _count(1),
    "cpus_per_task": _count(1),
    "memory": _word,
    "time": _time,
    "partition": _word,
    "account": _word,
    "qos": _word,
    "constraint": _word,
    "sbatch": _words,
    "signal": _signal,
    "requeue": _requeue,
    "seeds": _seeds,
    "at_once": _count(1),
    "dry_run": _switch,
    "format": _format,
    "python": _word,
}
