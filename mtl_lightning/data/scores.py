"""Validation scores over a run, for schedules that follow them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtl_lightning.data.schedules import Score
from mtl_lightning.data.schedules.moment import HISTORY


class Scores:
    """The scores of each task."""

    def __init__(self) -> None:
        self._scores: dict[str, Score] = {}

    def add(self, task: str, value: float, higher_is_better: bool) -> None:
        """Takes the value of a task's main metric at a validation; NaN is never the best."""
        before = self._scores.get(task)
        candidates = [v for v in (value, before.best if before else math.nan) if not math.isnan(v)]
        best = (max if higher_is_better else min)(candidates, default=math.nan)
        history = [*(before.history if before else ()), value][-HISTORY:]
        self._scores[task] = Score(task, value, best, higher_is_better, history)

    def of(self, tasks: Iterable[str]) -> Sequence[Score]:
        """The scores of those of the tasks that have one."""
        return [self._scores[task] for task in tasks if task in self._scores]

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {task: list(score) for task, score in self._scores.items()}

    def load_state_dict(self, state_dict: Mapping[str, Sequence[Any]]) -> None:
        """From a checkpoint."""
        self._scores = {task: Score(*score) for task, score in state_dict.items()}
