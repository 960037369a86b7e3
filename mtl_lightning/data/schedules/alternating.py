"""One data set a step, in turn."""

from collections.abc import Iterator, Mapping

from mtl_lightning.data.schedules.base import Schedule


class Alternating(Schedule):
    """Every optimizer step holds a batch of one data set; the data sets take turns.

    An epoch ends when the data set with the most batches has been seen once, after as many turns of every data set;
    shorter ones start over, reshuffled.
    """

    def num_steps(self, num_batches: Mapping[str, int]) -> int:
        return len(num_batches) * max(num_batches.values())

    def steps(self, num_batches: Mapping[str, int], seed: int, epoch: int) -> Iterator[tuple[str, ...]]:
        for _ in range(max(num_batches.values())):
            for name in num_batches:
                yield (name,)
