"""One data set a step, in turn."""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from mtl_lightning.data.schedules.base import Schedule
from mtl_lightning.data.schedules.epoch_length import EpochLength, checked, steps_of_epoch
from mtl_lightning.data.schedules.moment import Moment


class Alternating(Schedule):
    """Every optimizer step holds a batch of one data set; the data sets take turns.

    An epoch that ends in the middle of a turn is followed by one that goes on with it.

    Reference: Collobert and Weston, "A Unified Architecture for Natural Language Processing" (ICML 2008), section 4.1.
    Difference: a batch a turn, not an example.

    Args:
        epoch_length: When an epoch ends: ``longest``, when every data set has been seen once, after as many turns of
            every data set, shorter ones start over, reshuffled; ``shortest``, when the first one has; ``sum``, after as
            many batches as all have together; or a number of steps.

    >>> list(Alternating(3).steps({"a": 3, "b": 2}, Moment(seed=0, epoch=1)))
    [('b',), ('a',), ('b',)]
    """

    def __init__(self, epoch_length: EpochLength = "longest") -> None:
        self.epoch_length = checked(epoch_length)

    def num_steps(self, num_batches: Mapping[str, int]) -> int:
        shares = dict.fromkeys(num_batches, Fraction(1, len(num_batches)))
        return steps_of_epoch(self.epoch_length, num_batches, shares, 1)

    def steps(self, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
        names, num_steps = list(num_batches), self.num_steps(num_batches)
        for step in range(moment.epoch * num_steps, (moment.epoch + 1) * num_steps):
            yield (names[step % len(names)],)
