"""What the tasks of a run read, and what a tokenizer alone can make of it."""

from collections.abc import Mapping
from typing import Any

from mtl_lightning.errors import UserError

_READ = {"pooled": {"text", "text_pair", "tokens"}, "tokens": {"tokens"}}
"""Inputs of the encoder that a tokenizer reads by itself, by the level of a head."""


def datasets_of(config: Mapping[str, Any] | None, task: str) -> dict[str, Mapping[str, Any]]:
    """The data sets that label a task, by name: the arguments of each.

    Args:
        config: Of the run; null: it is not known.
        task: Name of the task.
    """
    sources = (config or {}).get("data", {}).get("datasets") or {}
    found = {name: source.get("init_args") or {} for name, source in sources.items() if isinstance(source, Mapping)}
    return {name: given for name, given in found.items() if task in (given.get("labels") or ())}


def inputs_of(config: Mapping[str, Any] | None, task: str) -> set[str]:
    """Names of the encoder's inputs that data sets give for a task; empty where that is not known."""
    return {name for given in datasets_of(config, task).values() for name in given.get("inputs") or ()}


def check_inputs(config: Mapping[str, Any] | None, levels: Mapping[str, str]) -> None:
    """Refuses tasks whose inputs are more than a text, two, or the words of one.

    Args:
        config: Of the run; null: it is not known, and nothing is refused.
        levels: Of each task's head, by name.

    Raises:
        UserError: Of such a task.
    """
    for task, level in levels.items():
        if odd := sorted(inputs_of(config, task) - _READ[level]):
            raise UserError(
                f"task '{task}' reads `{odd[0]}`, which no tokenizer of transformers makes inputs of by itself; leave "
                "it out by `--tasks`, or choose another format"
            )
