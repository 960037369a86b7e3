"""Data sets drawn in proportion to their sizes."""

from collections.abc import Mapping

from mtl_lightning.data.schedules.moment import Moment
from mtl_lightning.data.schedules.sampled import SampledSchedule


class Proportional(SampledSchedule):
    """Draws data sets in proportion to their numbers of batches: an epoch sees every example of every data set once.

    Every epoch length but a number comes to the same.

    Reference: Liu, He, Chen and Gao, "Multi-Task Deep Neural Networks for Natural Language Understanding" (ACL 2019),
    algorithm 1. Difference: nothing with one batch a step.

    Args:
        batches_per_step: Number of batches that a step draws, from any data sets.
        epoch_length: When an epoch ends: ``longest``, ``shortest``, ``sum`` or a number of steps.

    >>> from collections import Counter
    >>> dict(sorted(Counter(Proportional().steps({"a": 6, "b": 2}, Moment(seed=0, epoch=0))).items()))
    {('a',): 6, ('b',): 2}
    """

    def weights(self, num_batches: Mapping[str, int], moment: Moment) -> Mapping[str, float]:
        return num_batches
