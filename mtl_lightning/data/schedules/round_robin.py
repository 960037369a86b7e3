"""A batch of each data set in every step."""

from collections.abc import Iterator, Mapping

from mtl_lightning.data.schedules.base import Schedule


class RoundRobin(Schedule):
    """Every optimizer step holds a batch of each data set.

    An epoch ends when the data set with the most batches has been seen once; shorter ones start over, reshuffled.
    """

    def num_steps(self, num_batches: Mapping[str, int]) -> int:
        return max(num_batches.values())

    def steps(self, num_batches: Mapping[str, int], seed: int, epoch: int) -> Iterator[tuple[str, ...]]:
        yield from [tuple(num_batches)] * self.num_steps(num_batches)
