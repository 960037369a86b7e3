"""Data sets drawn with probabilities that the user gives."""

from collections.abc import Collection, Mapping
from math import isfinite

from mtl_lightning.data.schedules.epoch_length import EpochLength
from mtl_lightning.data.schedules.moment import Moment
from mtl_lightning.data.schedules.sampled import SampledSchedule
from mtl_lightning.errors import UserError, did_you_mean


class FixedProbabilities(SampledSchedule):
    """Draws data sets in given proportions: mixing ratios.

    Reference: Luong, Le, Sutskever, Vinyals and Kaiser, "Multi-task Sequence to Sequence Learning" (ICLR 2016), section
    3.4. Difference: draws are not independent, an epoch holds each data set's share of them.

    Args:
        probabilities: A number for each data set, by name, at least 0; they are divided by their sum. A data set with
            0 is not trained on, and no epoch length waits for it.
        batches_per_step: Number of batches that a step draws, from any data sets.
        epoch_length: When an epoch ends: ``longest``, when every data set has been seen once; ``shortest``, when the
            first one has; ``sum``, after as many batches as all have together; or a number of steps.

    Raises:
        UserError: If a number is out of its range; and, once the data sets are known, if one is missing or unknown.

    >>> from collections import Counter
    >>> schedule = FixedProbabilities({"a": 3, "b": 1})
    >>> dict(sorted(Counter(schedule.steps({"a": 2, "b": 6}, Moment(seed=0, epoch=0))).items()))
    {('a',): 6, ('b',): 2}
    """

    def __init__(
        self, probabilities: dict[str, float], batches_per_step: int = 1, epoch_length: EpochLength = "sum"
    ) -> None:
        super().__init__(batches_per_step, epoch_length)
        for name, value in probabilities.items():
            if not (isfinite(value) and value >= 0):
                raise UserError(f"data.schedule.probabilities.{name} must be at least 0, found {value}")
        if not any(probabilities.values()):
            raise UserError("data.schedule.probabilities: one data set at least must have a probability above 0")
        self.probabilities = probabilities

    def check(self, tasks: Mapping[str, Collection[str]]) -> None:
        for name in self.probabilities:
            if name not in tasks:
                hint = did_you_mean(name, tasks)
                raise UserError(f"data.schedule.probabilities names the unknown data set '{name}'; {hint}")
        if missing := [name for name in tasks if name not in self.probabilities]:
            raise UserError(f"data.schedule.probabilities misses the data set '{missing[0]}'; 0 leaves it out")

    def weights(self, num_batches: Mapping[str, int], moment: Moment) -> Mapping[str, float]:
        self.check(dict.fromkeys(num_batches, ()))
        return self.probabilities
