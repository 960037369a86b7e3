"""Data sets drawn by a power of their sizes, between proportional and uniform."""

from collections.abc import Mapping

from mtl_lightning.data.schedules.epoch_length import EpochLength
from mtl_lightning.data.schedules.moment import Moment
from mtl_lightning.data.schedules.sampled import SampledSchedule
from mtl_lightning.errors import UserError


class Temperature(SampledSchedule):
    r"""Draws a data set of n batches with a share proportional to :math:`n^\alpha`.

    :math:`\alpha = 1` is proportional to size, :math:`\alpha = 0` uniform; in terms of a temperature T it is
    :math:`\alpha = 1 / T`.

    Reference: Arivazhagan et al., "Massively Multilingual Neural Machine Translation in the Wild" (2019), section 4.2
    (T = 5); with :math:`\alpha = 0.5` the square root sampling of Stickland and Murray (ICML 2019). Difference: sizes
    are counted in batches.

    Args:
        alpha: :math:`\alpha`, from 0 to 1.
        batches_per_step: Number of batches that a step draws, from any data sets.
        epoch_length: When an epoch ends: ``longest``, when every data set has been seen once; ``shortest``, when the
            first one has; ``sum``, after as many batches as all have together; or a number of steps.

    Raises:
        UserError: If a number is out of its range.

    >>> from collections import Counter
    >>> schedule = Temperature(alpha=0.5, epoch_length=8)
    >>> dict(sorted(Counter(schedule.steps({"a": 9, "b": 1}, Moment(seed=0, epoch=0))).items()))
    {('a',): 6, ('b',): 2}
    """

    def __init__(self, alpha: float = 0.5, batches_per_step: int = 1, epoch_length: EpochLength = "sum") -> None:
        super().__init__(batches_per_step, epoch_length)
        self.alpha = exponent("alpha", alpha)

    def weights(self, num_batches: Mapping[str, int], moment: Moment) -> Mapping[str, float]:
        return {name: number**self.alpha for name, number in num_batches.items()}


def exponent(parameter: str, value: float) -> float:
    """A power of sizes that can be meant.

    Raises:
        UserError: If it is not between 0 (uniform) and 1 (proportional).
    """
    if not 0 <= value <= 1:
        raise UserError(f"data.schedule.{parameter} must be from 0 (uniform) to 1 (proportional), found {value}")
    return value
