"""Reads the options of ``compare`` from the command line and from a plan file."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mtl_lightning.cli.configuration.option_values import (
    Converter,
    count,
    flags_of,
    mapping,
    one_of,
    seeds,
    strings,
    switch,
    variant_of,
    word,
)
from mtl_lightning.cli.configuration.plain_yaml import read_yaml
from mtl_lightning.compare.planning import values
from mtl_lightning.compare.planning.settings import DeltaM, Launcher, Settings, Split
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.paths import expanded
from mtl_lightning.terminal.commands import OptionParser


def parse(arguments: Sequence[str]) -> Settings:
    """Reads the command line.

    Args:
        arguments: After ``compare``.

    Raises:
        UserError: If an option or value is unknown.
    """
    parser = OptionParser()
    parser.add_argument("--plan")
    parser.add_argument("--variant", action="append", default=[])
    for name in _OPTIONS:
        if name in _SWITCHES:
            parser.add_argument(f"--{name}", nargs="?", const="true")
        else:
            parser.add_argument(f"--{name}")
    given, rest = parser.parse_known_args(list(arguments))
    files, flags = _leading_files(rest)
    options: dict[str, Any] = read_yaml(given.plan) if given.plan else {}
    options |= {name: value for name in _OPTIONS if (value := getattr(given, name)) is not None}
    options["flags"] = [*_flags(options.get("flags", [])), *flags]
    if files:
        options["config"] = files
    variants = mapping("variants", options.get("variants") or {}) | _variants(given.variant)
    return _settings(options | {"variants": variants})


def _settings(options: dict[str, Any]) -> Settings:
    known = [option.name for option in fields(Settings)]
    for name in options:
        if name not in known:
            raise UserError(f"compare has no option '{name}'; {did_you_mean(name, known)}")
    if options.get("folds") is not None and "seeds" in options:
        raise UserError("folds take the place of seeds: run i has seed i; leave `--seeds` out")
    made = {name: _CONVERT[name](name, value) for name, value in options.items()}
    settings = Settings(**made)
    settings.seeds = settings.seeds if settings.folds is None else list(range(settings.folds))
    if not settings.weightings and not settings.variants:
        raise UserError("compare needs contestants: `--weightings equal,uncertainty,upgrad`, or `--variant NAME=…`")
    if settings.launcher == "slurm" and settings.time_limit is None and "timeout_min" not in settings.slurm:
        raise UserError("slurm: give `--time_limit MINUTES` of a run, or `timeout_min` (submitit takes 5 minutes)")
    return settings


def _variants(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, changes in map(_variant, texts):
        if name in found:
            raise UserError(f"--variant {name}: it is given twice; give each variant a name of its own")
        found[name] = changes
    return found


def _variant(text: str) -> tuple[str, dict[str, Any]]:
    name, changes = variant_of(text)
    return name, values.changes_of(name, changes)


def _leading_files(rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files before the first option of ``fit``, and what follows: there the order decides, and files may follow."""
    files, flags = [], list(rest)
    while flags and flags[0].partition("=")[0] in ("--config", "-c"):
        _, equals, file = flags.pop(0).partition("=")
        if not equals and not flags:
            raise UserError("--config has no value")
        files.append(file if equals else flags.pop(0))
    return files, flags


def _flags(value: Any) -> list[str]:
    """Options of ``fit`` in a plan file, which are a mapping there."""
    return flags_of("flags", value) if isinstance(value, dict) else strings("flags", value)


_CONVERT: dict[str, Converter] = {
    "config": strings,
    "flags": strings,
    "weightings": values.weightings,
    "variants": values.variants,
    "seeds": seeds,
    "folds": count(3),
    "single_task": switch,
    "pairs": switch,
    "front": count(2),
    "tune": count(0),
    "space": values.space,
    "split": one_of(Split),
    "delta_m": one_of(DeltaM),
    "dry_run": switch,
    "output": lambda name, value: Path(expanded(word(name, value), name)),
    "workers": count(1),
    "threads": count(1),
    "time_limit": values.minutes,
    "launcher": one_of(Launcher),
    "slurm": mapping,
    "share": switch,
    "probe": count(0),
    "keep_checkpoints": switch,
}
_SWITCHES = ("single_task", "pairs", "dry_run", "share", "keep_checkpoints")
_OPTIONS = [name for name in _CONVERT if name not in ("config", "flags", "variants", "space")]
