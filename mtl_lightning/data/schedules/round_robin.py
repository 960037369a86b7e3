"""A batch of each data set in every step."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import repeat

from mtl_lightning.data.schedules.base import Schedule
from mtl_lightning.data.schedules.epoch_length import EpochLength, checked, steps_of_epoch
from mtl_lightning.data.schedules.moment import Moment


class RoundRobin(Schedule):
    """Every optimizer step holds a batch of each data set: heterogeneous batches.

    Reference: Aghajanyan et al., "Muppet: Massive Multi-task Representations with Pre-Finetuning" (EMNLP 2021), whose
    ablation finds steps over many tasks to be what makes multi-task training stable. Difference: they draw the tasks of
    a step by size; here each step holds all.

    Args:
        epoch_length: When an epoch ends: ``longest``, when every data set has been seen once, shorter ones start over,
            reshuffled; ``shortest``, when the first one has; ``sum``, after as many batches as all have together; or a
            number of steps.

    >>> list(RoundRobin("shortest").steps({"a": 3, "b": 2}, Moment(seed=0, epoch=0)))
    [('a', 'b'), ('a', 'b')]
    """

    def __init__(self, epoch_length: EpochLength = "longest") -> None:
        self.epoch_length = checked(epoch_length)

    def num_steps(self, num_batches: Mapping[str, int]) -> int:
        shares = dict.fromkeys(num_batches, Fraction(1, len(num_batches)))
        return steps_of_epoch(self.epoch_length, num_batches, shares, len(num_batches))

    def steps(self, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
        yield from repeat(tuple(num_batches), self.num_steps(num_batches))
