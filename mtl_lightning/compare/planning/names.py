"""Contestants that a comparison adds by itself."""

import re
from collections.abc import Collection

SINGLE_TASK = "single task"
"""Trains a model of its own for each task, of the same architecture."""

TUNED_WEIGHTS = "tuned weights"
"""Fixed weights, found by a search."""


PAIR = "pair"
"""Trains two of the tasks together."""

_POINT = re.compile(r" [\d.]+(:[\d.]+)+$")
"""What tells the points of a front apart."""


def wandb_group(name: str) -> str:
    """The group of a comparison's runs in Weights & Biases, apart from that of plain runs of the same config."""
    return f"compare-{name}"


def single_task_of(variant: str) -> str:
    """The single-task baseline of a variant that changes more than the weighting."""
    return f"{SINGLE_TASK}: {variant}"


def is_single_task(name: str) -> bool:
    """Whether a contestant is a single-task baseline."""
    return name == SINGLE_TASK or name.startswith(single_task_of(""))


def is_reserved(name: str) -> bool:
    """Whether only a comparison itself calls a contestant so."""
    return is_single_task(name) or name == TUNED_WEIGHTS or name.split(" ")[0] == PAIR


def baseline_of(name: str, contestants: Collection[str]) -> str:
    """The single-task baseline of the same architecture: a contestant's own where there is one.

    >>> baseline_of("big", ["equal", "big", "single task", "single task: big"])
    'single task: big'
    >>> baseline_of("equal", ["equal", "big", "single task", "single task: big"])
    'single task'
    >>> baseline_of("big 0.25:0.75", ["big 0.25:0.75", "single task", "single task: big"])
    'single task: big'
    """
    if is_single_task(name):
        return name
    owns = [single_task_of(own) for own in (name, _POINT.sub("", name))]
    return next((own for own in owns if own in contestants), SINGLE_TASK)
