"""What a schedule is."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from mtl_lightning.data.schedules.moment import Moment
from mtl_lightning.errors import UserError, did_you_mean


class Schedule(ABC):
    """Decides which data sets appear in which optimizer step, and with how many batches.

    A schedule is a pure function of its arguments: every process gets the same answer, and so does a run that goes on.
    What is random follows from the moment's seed and epoch.
    """

    def check(self, tasks: Mapping[str, Collection[str]]) -> None:
        """Refuses arguments that do not fit the data sets, before training starts; there is nothing to refuse here.

        Args:
            tasks: Names of the tasks that each data set labels, by data set.

        Raises:
            UserError: If an argument does not fit.
        """
        return

    @abstractmethod
    def num_steps(self, num_batches: Mapping[str, int]) -> int:
        """Length of every epoch.

        Args:
            num_batches: Number of batches in one pass over each data set, all processes together.
        """

    @abstractmethod
    def steps(self, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
        """The data sets of each step of an epoch, in the order in which they are trained on.

        Args:
            num_batches: As above.
            moment: Which epoch of which run.

        Yields:
            Names of data sets, ``num_steps`` times. A name that occurs n times stands for n batches, which are joined
            into one. A data set that is drawn more often than it has batches starts over, reshuffled.
        """


def checked_steps(schedule: Schedule, num_batches: Mapping[str, int], moment: Moment) -> Iterator[tuple[str, ...]]:
    """The steps of a schedule, which may be the user's own.

    Raises:
        UserError: If a step is empty or names an unknown data set, or there are more or fewer than ``num_steps``.
    """
    name, number, length = f"data.schedule: {type(schedule).__name__}", 0, schedule.num_steps(num_batches)
    for number, step in enumerate(islice(schedule.steps(num_batches, moment), length + 1), start=1):
        if not step:
            raise UserError(f"{name} draws no data set in step {number} of epoch {moment.epoch}")
        if unknown := [dataset for dataset in step if dataset not in num_batches]:
            raise UserError(
                f"{name} draws the unknown data set '{unknown[0]}'; {did_you_mean(unknown[0], num_batches)}"
            )
        yield step
    if number != length:
        found = f"more than {length}" if number > length else number
        raise UserError(f"{name} draws {found} steps in epoch {moment.epoch}, but its num_steps is {length}")
