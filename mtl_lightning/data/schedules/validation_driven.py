"""More of the data sets whose tasks lag behind."""

from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from statistics import fmean

from mtl_lightning.data.schedules.epoch_length import SumOrSteps, checked
from mtl_lightning.data.schedules.moment import Moment, Score
from mtl_lightning.data.schedules.sampled import SampledSchedule
from mtl_lightning.errors import UserError, did_you_mean


class ValidationDriven(SampledSchedule):
    r"""Draws data sets in proportion to how far their tasks are behind their references on the validation split.

    The lag of a task with reference r and latest score s, the task's main metric, is the relative gap

    .. math:: \frac{\max(0, \pm (r - s))}{\max(|r|, |s|)}

    with the sign by which a positive gap is a worse score; it is 0 where both are 0. The lag of a data set is the mean
    over the tasks that it labels; one without a finite score takes the mean of the other data sets. Lags below
    ``floor`` count as ``floor``. Until there are scores the shares are proportional to size.

    Scores are those at the start of the epoch: give a number of steps as ``epoch_length`` for shorter ones, which ends
    with a validation each, if shares are to follow more closely.

    Reference: Gottumukkala, Dua, Singh and Gardner, "Dynamic Sampling Strategies for Multi-Task Reading Comprehension"
    (ACL 2020): shares proportional to the gap to the single-task score. Difference: gaps are relative, so that metrics
    of any scale, sign and direction compare, with a floor; the best score of the run stands in for a missing reference.

    Args:
        references: Scores to be reached, by task, for instance of single-task models; the best score so far is that of
            a task not named.
        floor: Smallest lag that a data set is credited with, above 0, so that none starves and small fluctuations
            change nothing.
        batches_per_step: Number of batches that a step draws, from any data sets.
        epoch_length: When an epoch ends: ``sum``, after as many batches as all data sets have together, or a number of
            steps.

    Raises:
        UserError: If a number is out of its range; and, once the tasks are known, if a reference is for none of them.

    >>> scores = {"a": [Score("sentiment", latest=0.4, best=0.7)], "b": [Score("topic", latest=0.9, best=0.9)]}
    >>> schedule = ValidationDriven({"sentiment": 0.8})
    >>> schedule.weights({"a": 5, "b": 5}, Moment(seed=0, epoch=1, scores=scores))
    {'a': 0.5, 'b': 0.05}
    """

    def __init__(
        self,
        references: dict[str, float] | None = None,
        floor: float = 0.05,
        batches_per_step: int = 1,
        epoch_length: SumOrSteps = "sum",
    ) -> None:
        super().__init__(batches_per_step, checked(epoch_length, ("sum",)))
        for task, value in (references or {}).items():
            if not isfinite(value):
                raise UserError(f"data.schedule.references.{task} must be a finite number, found {value}")
        if not 0 < floor <= 1:
            raise UserError(f"data.schedule.floor must be above 0 and at most 1, found {floor}")
        self.references = references or {}
        self.floor = floor

    def check(self, tasks: Mapping[str, Collection[str]]) -> None:
        known = {task for labelled in tasks.values() for task in labelled}
        for task in self.references:
            if task not in known:
                hint = did_you_mean(task, known)
                raise UserError(f"data.schedule.references names the unknown task '{task}'; {hint}")

    def weights(self, num_batches: Mapping[str, int], moment: Moment) -> Mapping[str, float]:
        lags = {name: self._lag(moment.scores.get(name, ())) for name in num_batches}
        known = [lag for lag in lags.values() if lag is not None]
        if not known:
            return num_batches
        return {name: max(fmean(known) if lag is None else lag, self.floor) for name, lag in lags.items()}

    def _lag(self, scores: Sequence[Score]) -> float | None:
        pairs = [(self.references.get(score.task, score.best), score) for score in scores]
        gaps = [_gap(reference, score) for reference, score in pairs if isfinite(reference) and isfinite(score.latest)]
        return fmean(gaps) if gaps else None


def _gap(reference: float, score: Score) -> float:
    scale = max(abs(reference), abs(score.latest))
    if scale == 0:
        return 0.0
    behind = reference / scale - score.latest / scale
    return max(0.0, behind if score.higher_is_better else -behind)
