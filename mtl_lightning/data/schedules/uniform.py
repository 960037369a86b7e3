"""Data sets drawn equally often."""

from collections.abc import Mapping

from mtl_lightning.data.schedules.moment import Moment
from mtl_lightning.data.schedules.sampled import SampledSchedule


class Uniform(SampledSchedule):
    """Draws all data sets equally often, in random order; small ones start over more often.

    Reference: Søgaard and Goldberg, "Deep multi-task learning with low level tasks supervised at lower layers" (ACL
    2016), section 2. Difference: draws are not independent, an epoch holds equally many of each data set.

    Args:
        batches_per_step: Number of batches that a step draws, from any data sets.
        epoch_length: When an epoch ends: ``longest``, when every data set has been seen once; ``shortest``, when the
            first one has; ``sum``, after as many batches as all have together; or a number of steps.

    >>> from collections import Counter
    >>> dict(sorted(Counter(Uniform().steps({"a": 6, "b": 2}, Moment(seed=0, epoch=0))).items()))
    {('a',): 4, ('b',): 4}
    """

    def weights(self, num_batches: Mapping[str, int], moment: Moment) -> Mapping[str, float]:
        return dict.fromkeys(num_batches, 1)
