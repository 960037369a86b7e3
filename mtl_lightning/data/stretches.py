"""An epoch whose batches were cut anew in the middle, for another number of processes say."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from mtl_lightning.data.episodes import EpisodePasses, EpisodeRest
from mtl_lightning.data.passes import Passes, Rest
from mtl_lightning.data.schedules import Moment, Schedule, checked_steps
from mtl_lightning.data.streams.passes import StreamPasses, StreamRest

AnyPasses = Passes | StreamPasses | EpisodePasses
Rests = dict[str, Rest | StreamRest | EpisodeRest]
"""What is left of the passes under way, by data set."""


class Stretch(NamedTuple):
    """Steps of an epoch whose batches are cut alike.

    Attributes:
        num_replicas: Number of processes.
        batch_sizes: Examples a batch and process, by data set.
        start: Number of its first step among those of an epoch that is cut like that.
        stop: The same of the one after its last; null: the end of the epoch.
    """

    num_replicas: int
    batch_sizes: Mapping[str, int]
    start: int = 0
    stop: int | None = None

    def is_cut_like(self, other: "Stretch") -> bool:
        """Whether batches of another stretch are as large, on as many processes."""
        return self.num_replicas == other.num_replicas and dict(self.batch_sizes) == dict(other.batch_sizes)


class Steps:
    """The steps of a stretch.

    Args:
        schedule: Draws the data sets.
        passes: Over each of them, cut as in this stretch.
        moment: Which epoch of which run.
        start: Number of the first step.

    Attributes:
        sizes: Numbers of batches that the steps take from each data set, where any.
    """

    def __init__(self, schedule: Schedule, passes: Mapping[str, Any], moment: Moment, start: int = 0) -> None:
        self._schedule = schedule
        self._passes = passes
        self._moment = moment
        self._start = start
        self._key = [moment.seed, moment.epoch]
        self.sizes: dict[str, list[int]] = {name: [] for name in passes}
        for names in self._steps():
            for name, size in Counter(names).items():
                self.sizes[name].append(size)

    def drawn(self, skip: int, rests: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What each step draws, by data set.

        Args:
            skip: Number of steps to leave out at the start.
            rests: What is left of the passes of an epoch that was cut in another way before.
        """
        skipped = self._skipped(skip)
        draws = {
            name: each.draws(self.sizes[name], skipped[name], [*self._key, number], rests.get(name))
            for number, (name, each) in enumerate(self._passes.items())
        }
        for names in islice(self._steps(), skip, None):
            yield {name: next(draws[name]) for name in dict.fromkeys(names)}

    def rests(self, number: int, rests: Mapping[str, Any]) -> Rests:
        """What is left of the passes after some steps.

        Args:
            number: Of steps.
            rests: As of :meth:`drawn`.
        """
        skipped = self._skipped(number)
        return {
            name: each.rest(self.sizes[name], skipped[name], [*self._key, place], rests.get(name))
            for place, (name, each) in enumerate(self._passes.items())
        }

    def _steps(self) -> Iterator[tuple[str, ...]]:
        num_batches = {name: len(each.sizes) for name, each in self._passes.items()}
        return islice(checked_steps(self._schedule, num_batches, self._moment), self._start, None)

    def _skipped(self, number: int) -> Counter[str]:
        return Counter(name for names in islice(self._steps(), number) for name in dict.fromkeys(names))


def rests_of(
    stretches: Sequence[Stretch], cut: Callable[[Stretch], Mapping[str, AnyPasses]], schedule: Schedule, moment: Moment
) -> Rests:
    """What is left of the passes under way after the first stretches of an epoch.

    Args:
        stretches: These.
        cut: The passes over each data set, as a stretch cuts them.
        schedule: Draws the data sets.
        moment: Which epoch of which run.
    """
    rests: Rests = {}
    for stretch in stretches:
        assert stretch.stop is not None, "another one follows"
        rests = Steps(schedule, cut(stretch), moment, stretch.start).rests(stretch.stop - stretch.start, rests)
    return rests
