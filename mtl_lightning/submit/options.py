"""Reads the options of ``submit`` from the command line and from a file."""

import os
import re
from collections.abc import Sequence
from typing import Any

from mtl_lightning.cli.configuration.given import given, refuse_questions
from mtl_lightning.cli.configuration.option_values import (
    Converter,
    count,
    flags_of,
    one_of,
    seeds,
    strings,
    switch,
    variant_of,
    word,
)
from mtl_lightning.cli.configuration.plain_yaml import read_yaml
from mtl_lightning.cluster.job import seconds_of
from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.names import checked_name, part_of_path
from mtl_lightning.submit.settings import Format, Settings
from mtl_lightning.terminal.commands import OptionParser

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
    ours, flags = _parser().parse_known_args([_underscored(argument) for argument in arguments[1:]])
    options = _of_file(ours.cluster) if ours.cluster else {}
    own = {name: value for name in _CONVERT if (value := getattr(ours, name)) is not None}
    options |= {name: _CONVERT[name](name, value) for name, value in own.items()}
    variants = dict(_variant(text) for text in ours.variant)
    settings = Settings(**options | {"flags": [*options.get("flags", []), *flags], "variants": variants})
    if len({part_of_path(name) for name in variants}) < len(ours.variant):
        raise UserError("--variant: two have the same name; give each a name of its own")
    _check(settings)
    return settings


def _parser() -> OptionParser:
    parser = OptionParser("submit")
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
            options["flags"] = flags_of(f"{file}: fit", value)
        elif name in _CONVERT:
            options[name] = _CONVERT[name](f"{file}: {key}", value)
        else:
            raise UserError(f"{file}: submit has no option '{key}'; {did_you_mean(name, [*_CONVERT, 'fit'])}")
    return options


def _variant(text: str) -> tuple[str, list[str]]:
    name, value = variant_of(text)
    checked_name("variant", name)
    return name, [f"--config={value}"] if isinstance(value, str) else flags_of(f"variant '{name}'", value)


def _check(settings: Settings) -> None:
    """Refuses what cannot be one job."""
    for flag in settings.flags:
        if (key := flag.partition("=")[0].removeprefix("--")) in _OF_THE_JOB:
            raise UserError(f"{key}: submit sets it: give `--nodes`, and `--gpus-per-node` or `--tasks-per-node`")
    for changes in ([], *settings.variants.values()):
        refuse_questions("submit", given("fit", [*settings.flags, *changes], os.environ))
    gpus, tasks = settings.gpus_per_node, settings.tasks_per_node
    if gpus and tasks not in (None, gpus):
        raise UserError(f"--tasks-per-node {tasks}: each process takes one of the {gpus} GPUs of a node; leave it out")
    if settings.format != "sbatch" and not settings.dry_run:
        raise UserError(f"--format {settings.format} prints what others start: give `--dry_run`, too")
    if settings.at_once is not None and not (settings.seeds or settings.variants):
        raise UserError("--at-once is for several runs: give `--seeds` or `--variant`")


def _time(name: str, value: Any) -> str:
    text = str(value) if type(value) is int else word(name, value)
    if seconds_of(text) < 1:
        raise UserError(f"{name}: expected more than nothing, found '{text}'")
    return text


def _signal(name: str, value: Any) -> str:
    text = word(name, value)
    if _SIGNAL.fullmatch(text) is None:
        raise UserError(f"{name}: expected a signal and seconds, such as USR1@120, found '{text}'")
    return text


def _requeue(name: str, value: Any) -> bool:
    """The words of ``fit``, of which this is an option too."""
    if value not in ("auto", "never"):
        raise UserError(f"{name}: expected auto or never, found {shown(value)}")
    return bool(value == "auto")


_CONVERT: dict[str, Converter] = {
    "nodes": count(1),
    "gpus_per_node": count(0),
    "gpu_type": word,
    "tasks_per_node": count(1),
    "cpus_per_task": count(1),
    "memory": word,
    "time": _time,
    "partition": word,
    "account": word,
    "qos": word,
    "constraint": word,
    "sbatch": strings,
    "signal": _signal,
    "requeue": _requeue,
    "seeds": seeds,
    "at_once": count(1),
    "dry_run": switch,
    "format": one_of(Format),
    "python": word,
}
