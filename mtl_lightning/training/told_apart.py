"""Whether tasks that write with one decoder can be told apart."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.tasks import Task

_warn = rank_zero_only(logging.getLogger(__name__).warning)


def warn_of_same_beginnings(module: Any) -> None:
    """Logs a line for two tasks that a data set wants different texts of, and whose decoder is told the same.

    Args:
        module: The MultiTaskModule, with its trainer.
    """
    for line in same_beginnings(module.tasks, getattr(module.trainer.datamodule, "datasets", {})):
        _warn(line)


def same_beginnings(tasks: Mapping[str, Task], datasets: Mapping[str, Any]) -> Iterator[str]:
    """Such lines.

    Args:
        tasks: By name.
        datasets: By name; ``labels`` of each are its columns, by task.
    """
    for name, source in datasets.items():
        first: dict[str, str] = {}
        for task in source.labels:
            if task not in tasks or (told := tasks[task].begins_with) is None:
                continue
            other = first.setdefault(told, task)
            if source.labels[task] != source.labels[other]:
                yield (
                    f"data set '{name}': tasks '{other}' and '{task}' write from the same text with one decoder, which "
                    "cannot tell them apart; give each a `prefix`"
                )
