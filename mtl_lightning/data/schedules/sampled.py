"""What the schedules have in common that draw data sets by shares."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping

import numpy as np

from mtl_lightning.data.schedules.apportionment import apportioned, exact_shares
from mtl_lightning.data.schedules.base import Schedule
from mtl_lightning.data.schedules.epoch_length import EpochLength, checked, steps_of_epoch
from mtl_lightning.data.schedules.moment import Moment
from mtl_lightning.errors import UserError

_ANY_MOMENT = Moment(seed=0, epoch=0)


class SampledSchedule(Schedule):
    """Each step draws some batches, from any data sets, also several from one; shares are constant within an epoch.

    Draws are not independent: an epoch holds each data set's share of them, rounded down or up, in random order, and
    over epochs the rounding evens out, see :func:`.apportionment.apportioned`.

    Args:
        batches_per_step: Number of batches that a step draws.
        epoch_length: When an epoch ends, see :data:`.epoch_length.EpochLength`.

    Raises:
        UserError: If a number is below 1, or the epoch length unknown.
    """

    def __init__(self, batches_per_step: int = 1, epoch_length: EpochLength = "sum") -> None:
        if batches_per_step < 1:
            raise UserError(f"data.schedule.batches_per_step must be at least 1, found {batches_per_step}")
        self.batches_per_step = batches_per_step
        self.epoch_length = checked(epoch_length)

    @abstractmethod
    def weights(self, num_batches: Mapping[str, int], moment: Moment) -> Mapping[str, float]:
        """What the shares of the data sets in the draws of an epoch are proportional to: not negative, not all zero.

        With an epoch length of ``longest`` or ``shortest`` they must not depend on the moment.
        """

    def num_steps(self, num_batches: Mapping[str, int]) -> int:
        shares = {}
        if self.epoch_length in ("longest", "shortest"):
            shares = exact_shares(self.weights(num_batches, _ANY_MOMENT))
        return steps_of_epoch(self.epoch_length, num_batches, shares, self.batches_per_step)

    def steps(self, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
        num_steps, names = self.num_steps(num_batches), list(num_batches)
        shares = exact_shares(self.weights(num_batches, moment))
        num_draws = num_steps * self.batches_per_step
        counts = apportioned((shares[name] for name in names), num_draws, moment.seed, moment.epoch)
        draws = np.repeat(np.arange(len(names), dtype=np.int32), counts)
        # a key of its own: the orders of examples follow from seed and epoch too
        key = np.random.SeedSequence([moment.seed, moment.epoch], spawn_key=(0,))
        np.random.default_rng(key).shuffle(draws)
        for step in draws.reshape(num_steps, self.batches_per_step):
            yield tuple(names[i] for i in step)
