"""More of the data sets whose tasks are changing: a bandit that learns where there is something to learn."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite
from statistics import fmean

from mtl_lightning.data.schedules.epoch_length import SumOrSteps, checked
from mtl_lightning.data.schedules.moment import Moment, Score
from mtl_lightning.data.schedules.sampled import SampledSchedule
from mtl_lightning.errors import UserError


class LearningProgress(SampledSchedule):
    r"""Draws data sets in proportion to how fast the validation scores of their tasks change.

    Where a task with scores x is at its t-th validation, its reward is the relative change, and its progress the moving
    average of rewards,

    .. math::
        r_t = \frac{x_t - x_{t-1}}{\max(|x_t|, |x_{t-1}|)}, \qquad Q_t = \alpha r_t + (1 - \alpha) Q_{t-1}, \qquad
        p_d = \frac{\varepsilon}{D} + (1 - \varepsilon) \frac{|Q_d|}{\sum_j |Q_j|}

    with :math:`Q_1 = 0` and :math:`Q_d` the mean of :math:`|Q|` over the tasks that data set d labels. The absolute
    value counts a task that is being forgotten like one that is being learnt. A data set of which no task has two
    finite scores takes the mean of the other data sets; until there are any, shares are proportional to size, and where
    nothing changes they are alike.

    Scores are those at the start of the epoch: give a number of steps as ``epoch_length`` for shorter ones, which ends
    with a validation each, if shares are to follow more closely.

    Reference: Matiisen, Oliver, Cohen and Schulman, "Teacher-Student Curriculum Learning" (IEEE TNNLS 2020), the online
    algorithm with absolute values of rewards. Difference: rewards are relative, so that metrics of any scale compare,
    and shares are proportional to them instead of Boltzmann's, which need a temperature in the rewards' unit.

    Args:
        smoothing: :math:`\alpha`, above 0 and at most 1; 1 looks at the last change alone.
        exploration: :math:`\varepsilon`, above 0 and at most 1: the share of draws that goes to all data sets alike.
        batches_per_step: Number of batches that a step draws, from any data sets.
        epoch_length: When an epoch ends: ``sum``, after as many batches as all data sets have together, or a number of
            steps.

    Raises:
        UserError: If a number is out of its range.

    >>> changes = {"a": [0.6, 0.8], "b": [0.9, 0.9]}
    >>> scores = {name: [Score("topic", found[-1], max(found), history=found)] for name, found in changes.items()}
    >>> LearningProgress(exploration=0.2).weights({"a": 5, "b": 5}, Moment(seed=0, epoch=2, scores=scores))
    {'a': 0.9, 'b': 0.1}
    """

    def __init__(
        self,
        smoothing: float = 0.5,
        exploration: float = 0.2,
        batches_per_step: int = 1,
        epoch_length: SumOrSteps = "sum",
    ) -> None:
        super().__init__(batches_per_step, checked(epoch_length, ("sum",)))
        for name, value in (("smoothing", smoothing), ("exploration", exploration)):
            if not 0 < value <= 1:
                raise UserError(f"data.schedule.{name} must be above 0 and at most 1, found {value}")
        self.smoothing = smoothing
        self.exploration = exploration

    def weights(self, num_batches: Mapping[str, int], moment: Moment) -> Mapping[str, float]:
        progress = {name: self._progress(moment.scores.get(name, ())) for name in num_batches}
        known = [found for found in progress.values() if found is not None]
        if not known:
            return num_batches
        filled = {name: fmean(known) if found is None else found for name, found in progress.items()}
        total, alike = sum(filled.values()), 1 / len(filled)
        return {
            name: self.exploration * alike + (1 - self.exploration) * (found / total if total > 0 else alike)
            for name, found in filled.items()
        }

    def _progress(self, scores: Sequence[Score]) -> float | None:
        """The mean of that of tasks; null: none of them has two scores."""
        finite = [[value for value in score.history if isfinite(value)] for score in scores]
        found = [abs(self._average(values)) for values in finite if len(values) > 1]
        return fmean(found) if found else None

    def _average(self, values: Sequence[float]) -> float:
        average = 0.0
        for before, after in pairwise(values):
            average += self.smoothing * (_change(before, after) - average)
        return average


def _change(before: float, after: float) -> float:
    """From -2 to 2."""
    scale = max(abs(before), abs(after))
    return after / scale - before / scale if scale > 0 else 0.0
