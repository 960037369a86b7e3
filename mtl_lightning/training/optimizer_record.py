"""What a checkpoint says of the optimizer: whose its parameters are, and how it was configured."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

Options = dict[str, dict[str, Any]]
"""The plain options of each named group, as configured."""


def options_of(optimizer: Optimizer) -> Options:
    """How an optimizer is configured, with the learning rates that its schedule starts from.

    Args:
        optimizer: One that has made no step.
    """
    return {group["name"]: _plain(group) for group in optimizer.param_groups if "name" in group}


def _plain(group: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in group.items()}
    kept = {key: value for key, value in plain.items() if isinstance(value, bool | int | float | str | list | None)}
    for key in ("params", "name", "initial_lr"):
        kept.pop(key, None)
    return kept | {"lr": float(group.get("initial_lr", group["lr"]))}


def members(optimizer: Optimizer, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """The groups, with the names of their parameters; without a name for one that the model has no more.

    Args:
        optimizer: The optimizer.
        names: Of parameters, by ``id``.
    """
    return [
        {"name": group.get("name"), "params": [names.get(id(parameter), "") for parameter in group["params"]]}
        for group in optimizer.param_groups
    ]


def arrange(optimizer: Optimizer, saved: Sequence[Mapping[str, Any]], parameters: Mapping[str, nn.Parameter]) -> None:
    """Gives each group the parameters that it had, so that the optimizer's state can be loaded.

    Args:
        optimizer: The optimizer.
        saved: What :func:`members` returned.
        parameters: Those of the model, by name.
    """
    fresh = {group.get("name"): group for group in optimizer.param_groups}
    some = optimizer.param_groups[0]
    optimizer.param_groups[:] = [
        {
            **{key: value for key, value in fresh.get(group["name"], some).items() if key != "name"},
            **({} if group["name"] is None else {"name": group["name"]}),
            "params": [parameters.get(name, nn.Parameter(torch.empty(0))) for name in group["params"]],
        }
        for group in saved
    ]


def changed(before: Options, now: Options) -> list[tuple[str, str, Any, Any]]:
    """Options that are configured otherwise: group, option, what it was and what it is."""
    return [
        (name, option, before[name][option], value)
        for name, options in now.items()
        for option, value in options.items()
        if option in before.get(name, {}) and before[name][option] != value
    ]


def apply(optimizer: Optimizer, schedulers: Sequence[Any], name: str, option: str, was: Any, value: Any) -> None:
    """Changes an option of a group that has been loaded.

    A learning rate changes in proportion, so that a schedule is where it was.

    Args:
        optimizer: The optimizer.
        schedulers: Its schedulers, and those that they are made of.
        name: Of the group.
        option: The option.
        was: Its value as configured before.
        value: Its value as configured now.
    """
    for number, group in enumerate(optimizer.param_groups):
        if group.get("name") != name:
            continue
        if option != "lr":
            group[option] = tuple(value) if isinstance(group.get(option), tuple) else value
            continue
        factor = value / was if was else 0.0
        group["lr"] = group["lr"] * factor if factor else value
        if "initial_lr" in group:
            group["initial_lr"] = value
        for scheduler in schedulers:
            if number < len(getattr(scheduler, "base_lrs", ())):
                scheduler.base_lrs[number] = value
