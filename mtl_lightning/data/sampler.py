"""Which rows each step reads: a pure function of seed, epoch and rank."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DistributedSampler

from mtl_lightning.data.columns import with_prefix
from mtl_lightning.data.episodes import EpisodePasses, Form, Pool, Supports
from mtl_lightning.data.passes import Passes
from mtl_lightning.data.schedules import Moment, Schedule
from mtl_lightning.data.shares import Drawn, Numbers, shares_of
from mtl_lightning.data.streams.passes import StreamPasses
from mtl_lightning.data.streams.settings import Examples
from mtl_lightning.data.stretches import AnyPasses, Steps, Stretch, rests_of
from mtl_lightning.errors import UserError


class Rows(NamedTuple):
    """What this process reads of a data set in one step.

    Attributes:
        indices: Row numbers.
        shares: See :class:`mtl_lightning.data.Batch`.
        step_size: See there.
        soft_shares: See there.
        examples: What the rows of a stream hold; they cannot be looked up.
        key: Of random changes to the examples: seed, epoch and number of the data set; null: there are none.
        form: See :class:`mtl_lightning.data.Batch`.
        validation: The same of the validation split; see there.
        supports: The same of support sets that other data sets give, by data set; see there.
    """

    indices: list[int]
    shares: dict[str, float]
    step_size: int = 0
    examples: Examples | None = None
    soft_shares: dict[str, float] = {}  # noqa: RUF012 - nobody changes it
    key: tuple[int, ...] | None = None
    form: Form | None = None
    validation: "Rows | None" = None
    supports: Mapping[str, "Rows"] = {}


Plan = dict[str, Rows]
"""The rows of one step, by data set."""

Beside = Callable[[Iterator[Plan], Moment, int, int], Iterator[Plan]]
"""See :class:`StepSampler`."""

Step = Mapping[str, np.ndarray | Examples]
"""What all processes read in one step, by data set."""

Counts = Mapping[str, Mapping[str, np.ndarray]]
"""Number of labels of each example [N], by data set and task."""


class StepSampler(DistributedSampler[Plan]):
    """Plans the steps of a training epoch.

    A step takes batches of all processes together from each data set that the schedule draws, and each process takes
    every ``num_replicas``-th row of them. Batches are cut from permutations of the data set, see
    :class:`.passes.Passes`: within an epoch, no example is seen again before all are, but fewer than ``num_replicas``.

    It is a ``DistributedSampler`` because it does that class's work: Lightning sets its epoch and leaves it in place.

    Args:
        lengths: Length of each example [N], by data set.
        counts: Number of labels of each example [N], by data set and task.
        batch_sizes: Examples a batch and process, by data set.
        schedule: Which data sets appear in which step.
        moment: Seed and standing of the run at the start of an epoch, which is its argument.
        rank: Of this process.
        num_replicas: Number of processes.
        bucket: Number of batches to sort together by length: more save padding, fewer leave more to chance.
        max_tokens: Largest padded size of a batch of a data set and process, number of rows times longest row; it then
            has ``batch_size`` rows or fewer. Null: any. A step that draws n batches of a data set joins them into one,
            of about n times the size.
        streams: Data sets that are read as they come, by name.
        drop_last: Leave out the last batch of a pass where it is smaller than the others.
        packed: Whether ``max_tokens`` is of the sum of lengths, since batches are packed and not padded.
        pools: What episodes are drawn from, by data set; the batch sizes of these are numbers of episodes.
        supports: What support sets are drawn from where other data sets give them, by data set of the query sets.
        places: The same as ``counts`` of labels present or missing, of tasks that a teacher teaches.
        beside: Adds rows of the validation splits to the plans of an epoch, for a weighting that asks for them: given
            the plans that are left, seed and standing of the run, the number of the first plan and the epoch's length.
        window: Asked at the start of an epoch: how many steps accumulate gradients for one batch of a step of the
            optimizer; a weighting may take several.

    Attributes:
        start: Epoch and number of its first steps to leave out, for a run that goes on in mid-epoch; later epochs are
            whole. The length remains that of a whole epoch.
        stretches: Of this epoch: what was cut in another way before, if anything, and what is left.
        num_batches: Number of batches in a pass over each data set, the same in every pass; 0 where it has fewer
            examples than there are processes or, with ``drop_last``, than a batch of all of them.

    Raises:
        UserError: If the schedule does not fit the data sets, or an example is longer than ``max_tokens``.
    """

    def __init__(
        self,
        lengths: Mapping[str, np.ndarray],
        counts: Counts,
        batch_sizes: Mapping[str, int],
        schedule: Schedule,
        moment: Callable[[int], Moment],
        rank: int = 0,
        num_replicas: int = 1,
        bucket: int = 100,
        max_tokens: int | None = None,
        streams: Mapping[str, StreamPasses] | None = None,
        drop_last: bool = False,
        packed: bool = False,
        window: Callable[[], int] = lambda: 1,
        places: Counts | None = None,
        pools: Mapping[str, Pool] | None = None,
        supports: Mapping[str, Supports] | None = None,
        beside: Beside | None = None,
    ) -> None:
        self.streams = streams = streams or {}
        self.max_tokens = max_tokens
        self.drop_last = drop_last
        self.packed = packed
        self.window = window
        self.beside = beside
        schedule.check({**counts, **{name: stream.encode.tasks for name, stream in streams.items()}})
        if max_tokens is not None:
            _check_lengths(lengths, max_tokens)
            if streams:
                raise UserError(f"data.max_tokens: '{next(iter(streams))}' is a stream, whose lengths nobody knows")
        self.lengths = lengths
        self.counts = counts
        self.places = places or {}
        self.pools = pools or {}
        self.supports = supports or {}
        self.batch_sizes = dict(batch_sizes)
        self.global_batch_sizes = {name: size * num_replicas for name, size in batch_sizes.items()}
        self.schedule = schedule
        self.moment = moment
        self.rank = rank
        self.num_replicas = num_replicas
        self.epoch = 0
        self.start = (0, 0)
        self.bucket = bucket
        self.stretches: Sequence[Stretch] = [now := Stretch(num_replicas, self.batch_sizes)]
        self.passes = self._cut(now)
        self.num_batches = {name: len(passes.sizes) for name, passes in self.passes.items()}

    def _cut(self, stretch: Stretch) -> dict[str, AnyPasses]:
        sizes, num_replicas = stretch.batch_sizes, stretch.num_replicas
        passes: dict[str, AnyPasses] = {
            name: EpisodePasses(self.pools[name], sizes[name], num_replicas)
            if name in self.pools
            else Passes(length, sizes[name], num_replicas, self.bucket, self.max_tokens, self.drop_last, self.packed)
            for name, length in self.lengths.items()
        }
        for name, each in self.streams.items():
            size = sizes[name] * num_replicas
            passes[name] = each if size == each.batch_size else each.of_size(size)
        return passes

    def __len__(self) -> int:
        return self.schedule.num_steps(self.num_batches)

    def num_steps(self, stretch: Stretch) -> int:
        """Length of an epoch that is cut like this from its start to its end."""
        if stretch.is_cut_like(Stretch(self.num_replicas, self.batch_sizes)):
            return len(self)
        return self.schedule.num_steps({name: len(each.sizes) for name, each in self._cut(stretch).items()})

    def can_keep(self, stretch: Stretch, is_rest: bool) -> bool:
        """Whether these processes can go on in an epoch without cutting its batches anew.

        Args:
            stretch: How they were cut, for as many processes or others.
            is_rest: Whether the epoch was cut in another way before.
        """
        if stretch.num_replicas == self.num_replicas:
            return dict(stretch.batch_sizes) == self.batch_sizes
        sizes = {name: size * stretch.num_replicas for name, size in stretch.batch_sizes.items()}
        if sizes != self.global_batch_sizes or self.max_tokens is not None:
            return False
        if is_rest and stretch.num_replicas < self.num_replicas:
            return False  # of what was left then, a batch may have fewer examples than there are processes now
        cut = self._cut(stretch)
        return {name: len(each.sizes) for name, each in cut.items()} == self.num_batches and all(
            min(each.sizes) >= min(2 * self.num_replicas, *self.passes[name].sizes) for name, each in cut.items()
        )

    def __iter__(self) -> Iterator[Plan]:
        moment, skip, start, rests = self.moment(self.epoch), 0, 0, {}
        passes = self.passes
        if self.start[0] == self.epoch:
            *before, now = self.stretches
            if now.num_replicas != self.num_replicas:
                passes = self._cut(now)
            start, skip = now.start, self.start[1] - now.start
            rests = rests_of(before, self._cut, self.schedule, moment)
        size = self.window()
        late = (start + skip) % size  # the steps of a window whose first ones are left out, count all the same
        again = min(late, skip)
        steps = Steps(self.schedule, passes, moment, start).drawn(skip - again, rests)
        keys = {name: (moment.seed, moment.epoch, number) for number, name in enumerate(passes)}
        plans = (plan for window in _windows(steps, size, size - late + again) for plan in self._plans(window, keys))
        left = islice(plans, again, None)
        yield from left if self.beside is None else self.beside(left, moment, start + skip, len(self))

    def _plans(self, window: Sequence[Step], keys: Mapping[str, tuple[int, ...]]) -> Iterator[Plan]:
        """What this process reads in the steps that make one step of the optimizer."""
        drawn = [Drawn(self._numbers("counts/", step), self._numbers("places/", step)) for step in window]
        part = slice(self.rank, None, self.num_replicas)
        for step, (shares, soft) in zip(window, shares_of(drawn, part, self.num_replicas), strict=True):
            yield {
                name: self._rows(examples[part])._replace(
                    shares=shares[name],
                    soft_shares=soft[name],
                    step_size=len(examples),
                    key=keys[name],
                    form=self.pools[name].form if name in self.pools else None,
                    supports=self._supports(name, examples[part], keys) if name in self.supports else {},
                )
                for name, examples in step.items()
            }

    def _supports(self, name: str, local: Any, keys: Mapping[str, tuple[int, ...]]) -> dict[str, Rows]:
        drawn = self.supports[name].draw(local.tolist(), keys[name])
        return {other: Rows(rows, {}, key=keys[other]) for other, rows in drawn.items()}

    def _rows(self, local: np.ndarray | Examples) -> Rows:
        if isinstance(local, Examples):
            return Rows(local.columns["row"].tolist(), {}, examples=local)
        return Rows(local.tolist(), {})

    def _numbers(self, kind: str, step: Step) -> Numbers:
        """Numbers of labels, or of places, of each example drawn, by data set and task."""
        held = {"counts/": self.counts, "places/": self.places}[kind]
        return {
            name: with_prefix(kind, drawn.columns)
            if isinstance(drawn, Examples)
            else {task: numbers[drawn] for task, numbers in held.get(name, {}).items()}
            for name, drawn in step.items()
        }


def _windows(steps: Iterator[Step], size: int, first: int) -> Iterator[list[Step]]:
    """Steps in lists of ``size``; of ``first`` in the first one, and of what is left in the last."""
    while window := list(islice(steps, first)):
        yield window
        first = size


def _check_lengths(lengths: Mapping[str, np.ndarray], max_tokens: int) -> None:
    for name, length in lengths.items():
        if len(length) and (longest := int(length.max())) > max_tokens:
            raise UserError(
                f"data.max_tokens is {max_tokens}, but row {int(length.argmax())} of data set '{name}' has {longest} "
                f"tokens; set it to {longest} at least, or shorten texts by the encoder's max_length"
            )
