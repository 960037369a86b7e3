"""The options of ``compare``, from the command line and from a plan file."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from mtl_lightning.compare.catalogue import WEIGHTINGS, Choice, Range, Space, class_name
from mtl_lightning.compare.configs import parse_value, read_yaml
from mtl_lightning.errors import UserError, did_you_mean

Split = Literal["test", "val"]
Launcher = Literal["local", "slurm"]

HELP = """\
usage: mtl-lightning compare --config FILE --weightings a,b,... [--seeds N] [OPTIONS] [--KEY VALUE ...]

Trains every contestant with every seed and says which is better, by how much, and at what cost.

contestants:
  --config FILE             what is trained; may be given several times (as for fit; bare: the demo)
  --weightings a,b,c        weightings by name (equal,uncertainty,upgrad,...), import paths, or all
  --variant NAME=CHANGES    any other change of the config: a YAML file, or {data.schedule: Alternating}
  --single_task false       leave out the baseline: a model of the same architecture for each task
  --pairs true              also train every pair of tasks: which help each other, and a grouping
  --tune N                  search N settings of learning rate and own options for each contestant, on validation only;
                            adds tuned fixed weights as a contestant
fairness:
  --seeds 5 | 0,1,2         seeds 0 to 4, or these
  --split test|val          what the best checkpoint of each run is scored on
running:
  --dry_run                 print the plan with an estimate of time, and stop
  --output FOLDER           default runs/compare/<name>; finished runs in it are kept, keyed by their config
  --workers N               runs at a time; default: as many as cores or GPUs allow
  --threads N               threads of each run on a CPU; default 1
  --time_limit MINUTES      of a run; one that takes longer is ended and reported
  --launcher local|slurm    where runs are done; --slurm '{slurm_partition: gpu, timeout_min: 60, ...}' as submitit's
  --probe N                 every n-th step of a loss weighting also measures how tasks conflict (0: never; default 50)
  --keep_checkpoints true   keep every run's best checkpoint
  --plan FILE               these options as YAML, and `space`: what to search, by key of the config
Anything else is an option of fit, for all contestants: --trainer.max_epochs 3 --wandb off
"""


@dataclass
class Settings:
    """What to compare and how; see ``compare --help``.

    Attributes:
        config: Files.
        flags: Further options of ``fit``.
        weightings: Classes of the weightings.
        variants: Changes of the config by contestant, each key to value.
        space: What to search for every contestant, by key of the config; the learning rate if empty.
    """

    config: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    weightings: list[str] = field(default_factory=list)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: list(range(5)))
    single_task: bool = True
    pairs: bool = False
    tune: int = 0
    space: Space = field(default_factory=dict)
    split: Split = "test"
    dry_run: bool = False
    output: Path | None = None
    workers: int | None = None
    threads: int = 1
    time_limit: float | None = None
    launcher: Launcher = "local"
    slurm: dict[str, Any] = field(default_factory=dict)
    probe: int = 50
    keep_checkpoints: bool = False


def parse(arguments: Sequence[str]) -> Settings:
    """Reads the command line.

    Args:
        arguments: After ``compare``.

    Raises:
        UserError: If an option or value is unknown.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--plan")
    parser.add_argument("--config", "-c", action="append")
    parser.add_argument("--variant", action="append", default=[])
    for name in _OPTIONS:
        if name in _SWITCHES:
            parser.add_argument(f"--{name}", nargs="?", const="true")
        else:
            parser.add_argument(f"--{name}")
    given, rest = parser.parse_known_args(list(arguments))
    options: dict[str, Any] = _plan_file(given.plan) if given.plan else {}
    options |= {name: value for name in _OPTIONS if (value := getattr(given, name)) is not None}
    options["flags"] = [*_flags(options.get("flags", [])), *rest]
    if given.config:
        options["config"] = given.config
    variants = dict(options.get("variants") or {}) | dict(map(_variant, given.variant))
    return _settings(options | {"variants": variants})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """Raises what is wrong as :class:`UserError`."""
        raise UserError(message)


def _settings(options: dict[str, Any]) -> Settings:
    known = [option.name for option in fields(Settings)]
    for name in options:
        if name not in known:
            raise UserError(f"compare has no option '{name}'; {did_you_mean(name, known)}")
    made = {name: _CONVERT[name](name, value) for name, value in options.items()}
    settings = Settings(**made)
    if not settings.weightings and not settings.variants:
        raise UserError("compare needs contestants: `--weightings equal,uncertainty,upgrad`, or `--variant NAME=…`")
    return settings


def _plan_file(file: str) -> dict[str, Any]:
    return read_yaml(file)


def _variant(text: str) -> tuple[str, dict[str, Any]]:
    name, equals, changes = text.partition("=")
    if not equals:
        raise UserError(f"--variant {text}: expected NAME=FILE or NAME={{key: value}}")
    return name, _changes(name, parse_value(changes))


def _changes(name: str, changes: Any) -> dict[str, Any]:
    """Changes of a config by key; those of a file come flat, each of its values at its whole key."""
    if isinstance(changes, str):
        return dict(_flat(read_yaml(changes)))
    if not isinstance(changes, dict):
        raise UserError(f"variant '{name}': expected a YAML file or {{key: value}}, found {changes!r}")
    return changes


def _flat(config: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for key, value in config.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and "class_path" not in value and path not in ("model.tasks", "data.datasets"):
            pairs += _flat(value, f"{path}.")
        else:
            pairs.append((path, value))
    return pairs


# -- values ------------------------------------------------------------------------------------------------------------
def _weightings(name: str, value: Any) -> list[str]:
    named = value.split(",") if isinstance(value, str) else list(value)
    classes: list[str] = []
    for item in named:
        classes += list(WEIGHTINGS) if item.strip().lower() == "all" else [class_name(item.strip())]
    return list(dict.fromkeys(classes))


def _seeds(name: str, value: Any) -> list[int]:
    value = parse_value(f"[{value}]" if "," in value else value) if isinstance(value, str) else value
    seeds = list(range(value)) if isinstance(value, int) else value
    if not isinstance(seeds, list) or not seeds or not all(isinstance(s, int) and s >= 0 for s in seeds):
        raise UserError(f"seeds: expected a number of seeds, at least 1, or some of them (0,1,2), found {value!r}")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"seeds: each must be named once, found {value!r}")
    return seeds


def _switch(name: str, value: Any) -> bool:
    found = parse_value(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise UserError(f"{name}: expected true or false, found {value!r}")
    return found


def _count(least: int) -> Any:
    def convert(name: str, value: Any) -> int:
        found = parse_value(value) if isinstance(value, str) else value
        if not isinstance(found, int) or isinstance(found, bool) or found < least:
            raise UserError(f"{name}: expected a whole number, at least {least}, found {value!r}")
        return found

    return convert


def _minutes(name: str, value: Any) -> float:
    found = parse_value(value) if isinstance(value, str) else value
    if not isinstance(found, int | float) or found <= 0:
        raise UserError(f"{name}: expected minutes, more than 0, found {value!r}")
    return float(found)


def _one_of(choices: Any) -> Any:
    def convert(name: str, value: Any) -> str:
        if value not in get_args(choices):
            raise UserError(f"{name}: unknown '{value}'; {did_you_mean(str(value), get_args(choices))}")
        return str(value)

    return convert


def _mapping(name: str, value: Any) -> dict[str, Any]:
    found = parse_value(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise UserError(f"{name}: expected {{key: value}}, found {value!r}")
    return found


def _space(name: str, value: Any) -> Space:
    return {key: _searched(f"{name}.{key}", spec) for key, spec in _mapping(name, value).items()}


def _searched(name: str, spec: Any) -> Range | Choice:
    if isinstance(spec, list) and spec:
        return Choice(tuple(spec))
    if isinstance(spec, dict) and {"low", "high"} <= set(spec) <= {"low", "high", "log"}:
        low, high, log = float(spec["low"]), float(spec["high"]), bool(spec.get("log", False))
        if low < high and (low > 0 or not log):
            return Range(low, high, log)
    raise UserError(f"{name}: expected a list of values or {{low: …, high: …, log: true}}, found {spec!r}")


def _variants(name: str, value: Any) -> dict[str, dict[str, Any]]:
    return {variant: _changes(variant, changes) for variant, changes in _mapping(name, value).items()}


def _strings(name: str, value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _flags(value: Any) -> list[str]:
    """Options of ``fit`` in a plan file, which are a mapping there."""
    return [f"--{key}={json.dumps(item)}" for key, item in value.items()] if isinstance(value, dict) else list(value)


_CONVERT: dict[str, Any] = {
    "config": _strings,
    "flags": _strings,
    "weightings": _weightings,
    "variants": _variants,
    "seeds": _seeds,
    "single_task": _switch,
    "pairs": _switch,
    "tune": _count(0),
    "space": _space,
    "split": _one_of(Split),
    "dry_run": _switch,
    "output": lambda name, value: Path(os.path.expanduser(value)),
    "workers": _count(1),
    "threads": _count(1),
    "time_limit": _minutes,
    "launcher": _one_of(Launcher),
    "slurm": _mapping,
    "probe": _count(0),
    "keep_checkpoints": _switch,
}
_SWITCHES = ("single_task", "pairs", "dry_run", "keep_checkpoints")
_OPTIONS = [name for name in _CONVERT if name not in ("config", "flags", "variants", "space")]
