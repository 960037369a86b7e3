"""Says what an evaluation cannot measure, and why."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

_LOG = logging.getLogger(__name__)


class _Results(Protocol):
    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]: ...

    @property
    def scores(self) -> Sequence[float]: ...

    def undefined(self, task: str) -> Sequence[str]: ...
    def absent(self, task: str) -> Sequence[str]: ...


class Undefined:
    """Logs a warning for each thing that is not defined, once for all evaluations of a split."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def warn(self, tasks: Iterable[str], results: _Results, split: str) -> None:
        """Logs which metrics are not defined, which tasks have no label, and whether no task has a score.

        Args:
            tasks: Names of all tasks.
            results: Of the evaluation.
            split: Name of the split.
        """
        for task in tasks:
            if task not in results.metrics:
                if self._new(task, ["label"]):
                    _LOG.warning(f"task '{task}': no example of split '{split}' has a label; it counts for no average")
            elif metrics := self._new(task, results.undefined(task)):
                _LOG.warning(f"task '{task}': {_why(results, task, split)}, so {_effect(metrics)}")
        if not results.scores and self._new("", ["average"]):
            _LOG.warning(
                f"{split}/average is NaN: no task's main metric is defined on split '{split}', so there is nothing to "
                f"choose checkpoints by; set another `main_metric`, or fix the split"
            )

    def _new(self, task: str, things: Sequence[str]) -> list[str]:
        """Those that have not been said."""
        new = [thing for thing in things if (task, thing) not in self._said]
        self._said.update((task, thing) for thing in new)
        return new


def _why(results: _Results, task: str, split: str) -> str:
    if absent := results.absent(task):
        return f"no example of split '{split}' has the label {_few(absent)}"
    return f"all targets of split '{split}' are equal"


def _effect(metrics: Sequence[str]) -> str:
    if len(metrics) == 1:
        return f"{metrics[0]} is not defined there; it is NaN and counts for no average"
    return f"{', '.join(metrics)} are not defined there; they are NaN and count for no average"


def _few(labels: Sequence[str]) -> str:
    some = ", ".join(f"'{label[:40]}'" for label in labels[:5])
    return some if len(labels) <= 5 else f"{some} and {len(labels) - 5} more"
