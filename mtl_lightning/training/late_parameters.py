"""Parameters that begin to train after the optimizer was made."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

_PER_GROUP = ("base_lrs", "lr_lambdas", "max_lrs", "base_momentums", "max_momentums", "min_lrs", "_last_lr")
"""Where the schedulers of torch keep a value for each group."""


def adopt(optimizer: Optimizer, groups: Sequence[dict[str, Any]]) -> list[nn.Parameter]:
    """Gives an optimizer the parameters that train and that it does not have.

    Args:
        optimizer: Which a callback may have given some of them, with a learning rate of their own.
        groups: All that train, as the optimizer would be given them now.

    Returns:
        Those that it did not have.
    """
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    named = {group.get("name"): group for group in optimizer.param_groups}
    adopted: list[nn.Parameter] = []
    for group in groups:
        if not (late := [parameter for parameter in group["params"] if id(parameter) not in held]):
            continue
        adopted += late
        if group["name"] in named:
            named[group["name"]]["params"] += late
        else:
            _add_group(optimizer, {**group, "params": late})
    return adopted


def _add_group(optimizer: Optimizer, group: dict[str, Any]) -> None:
    """Adds a group whose learning rate is where the schedule has brought those of the others."""
    first = optimizer.param_groups[0]
    rate = group["lr"] = optimizer.defaults["lr"] * group.pop("lr_factor")
    if first.get("initial_lr"):
        group |= {"initial_lr": rate, "lr": rate * first["lr"] / first["initial_lr"]}
    optimizer.add_param_group(group)


def follow_groups(scheduler: Any) -> None:
    """Lets a scheduler know the groups that came after it was made; torch's would stop the run.

    A group takes its learning rate for the one that the schedule starts from.
    """
    for part in parts(scheduler):
        groups = part.optimizer.param_groups
        known = len(getattr(part, "base_lrs", getattr(part, "min_lrs", groups)))
        for group in groups[known:]:
            group.setdefault("initial_lr", group["lr"])
            for name, value in groups[0].items():
                if name not in ("params", "name"):
                    group.setdefault(name, value)
        for name in _PER_GROUP:
            values = getattr(part, name, None)
            if isinstance(values, list) and len(values) == known:
                values += values[-1:] * (len(groups) - known)
        if hasattr(part, "base_lrs"):
            part.base_lrs[known:] = [group["initial_lr"] for group in groups[known:]]


def parts(scheduler: Any) -> Iterator[Any]:
    """Yields a scheduler and those that it is made of."""
    yield scheduler
    for part in getattr(scheduler, "_schedulers", ()):
        yield from parts(part)
