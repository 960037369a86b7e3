"""What a schedule is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping


class Schedule(ABC):
    """Decides which data sets appear in which optimizer step.

    A schedule is a pure function of its arguments: every process gets the same answer.
    """

    @abstractmethod
    def num_steps(self, num_batches: Mapping[str, int]) -> int:
        """Length of an epoch.

        Args:
            num_batches: Number of batches in one pass over each data set, all processes together.
        """

    @abstractmethod
    def steps(self, num_batches: Mapping[str, int], seed: int, epoch: int) -> Iterator[tuple[str, ...]]:
        """The data sets of each step of an epoch, in the order in which they are trained on.

        Args:
            num_batches: As above.
            seed: Of the run.
            epoch: Number of the epoch, from 0.

        Yields:
            Names of data sets, ``num_steps`` times. A data set that is drawn more often than it has batches starts
            over, reshuffled.
        """
