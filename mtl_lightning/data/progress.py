"""Where a run stands in its data, as a checkpoint keeps it."""

import logging
from collections.abc import Collection, Mapping
from math import ceil
from typing import Any

from mtl_lightning.data.cuts import JOINED, LENT, NUMBER, of, refuse_damaged, refuse_other_data
from mtl_lightning.data.passes import Passes
from mtl_lightning.data.position import Position, move, position
from mtl_lightning.data.sampler import StepSampler
from mtl_lightning.data.schedules import Moment, Score
from mtl_lightning.data.scores import Scores
from mtl_lightning.data.stretches import Stretch

_LOG = logging.getLogger(__name__)


class Progress:
    """Makes a run that goes on read what it would have read.

    Args:
        trainer: Lightning's.
        seed: Of the data module.
        tasks: Names of the tasks that each data set labels, by data set.
    """

    def __init__(self, trainer: Any, seed: int, tasks: Mapping[str, Collection[str]]) -> None:
        self.trainer = trainer
        self.seed = seed
        self.tasks = tasks
        self.scores = Scores()
        self._sampler: StepSampler | None = None
        self._moment: Moment | None = None
        self._saved: dict[str, Any] = {}

    def begin(self, sampler: StepSampler) -> None:
        """Puts the sampler of the training steps to where the run stands.

        In the middle of an epoch whose batches would be others than before, for another number of processes say, it
        goes on with the examples that the epoch has not seen.

        Raises:
            UserError: If that is in the middle of an epoch of other data, or with another schedule.
        """
        self._sampler = sampler
        start = Position(*self._saved.get("position", (0, 0)))
        sampler.epoch = start.epoch  # Lightning sets it only once the workers have begun
        for name, state in self._saved.get("streams", {}).items():
            if name in sampler.streams:
                sampler.streams[name].restore(start.epoch, state)
        if start.batch and "plan" in self._saved:
            self._restore_moment(self._saved["moment"], start.epoch)
            start = self._resumed(sampler, start)
        sampler.start = start

    def _resumed(self, sampler: StepSampler, start: Position) -> Position:
        """Where in mid-epoch the run takes up: at another batch, where they are others than before."""
        stretches = [Stretch(**stretch) for stretch in self._saved.get("stretches", ())]
        (now,) = sampler.stretches
        refuse_other_data(self._saved["plan"], self._plan(), start, stretches, now)
        if not stretches:  # of an earlier version, which has refused any change
            return start
        refuse_damaged(stretches, start.batch, now, sampler.num_steps)
        *earlier, last = stretches
        if sampler.can_keep(last, bool(earlier)):
            sampler.stretches = stretches
            return start
        length = sampler.num_steps(last)
        batch = min((2 * start.batch * len(sampler) + length) // (2 * length), len(sampler) - 1)
        batch -= batch % self.trainer.accumulate_grad_batches  # no optimizer step is under way
        sampler.stretches = [*earlier, last._replace(stop=start.batch), now._replace(start=batch)]
        move(self.trainer, batch)
        if self.trainer.is_global_zero:
            _LOG.warning(
                f"the checkpoint was saved after {start.batch} of {length} batches of epoch {start.epoch}, {of(last)}; "
                f"now {of(now)}. The epoch continues at batch {batch} of {len(sampler)} with the examples that it has "
                f"not seen; from epoch {start.epoch + 1} on, their order is that of an uninterrupted run"
            )
        return Position(start.epoch, batch)

    def moment(self, epoch: int) -> Moment:
        """Where the run stands at the start of an epoch: scores that come later do not change what it reads."""
        if self._moment is None or self._moment.epoch != epoch:
            scores = {name: self.scores.of(tasks) for name, tasks in self.tasks.items()}
            self._moment = Moment(self.seed, epoch, self._num_epochs(), scores)
        return self._moment

    @property
    def sizes(self) -> dict[str, int]:
        """Number of training examples of each data set, once training has begun."""
        if self._sampler is None:
            return {}
        streams = {name: stream.num_examples for name, stream in self._sampler.streams.items()}
        return {name: len(each) for name, each in self._sampler.lengths.items()} | streams

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: where the run takes up, and what its batches follow from."""
        start = position(self.trainer)
        state: dict[str, Any] = {"scores": self.scores.state_dict(), "position": list(start)}
        if self._sampler is not None and self._moment is not None:
            scores = {name: [list(score) for score in found] for name, found in self._moment.scores.items()}
            state["moment"] = {**self._moment._asdict(), "scores": scores}
            state["plan"] = self._plan()
            resumed = self._sampler.start[0] == start.epoch
            state["stretches"] = [each._asdict() for each in self._sampler.stretches[0 if resumed else -1 :]]
            if not resumed:
                state["stretches"][0]["start"] = 0
            state["streams"] = {name: stream.state(start.epoch) for name, stream in self._sampler.streams.items()}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.scores.load_state_dict(state_dict["scores"])
        self._saved = state_dict

    def _num_epochs(self) -> int | None:
        """Of the run, as far as the trainer's limits say."""
        trainer, limits = self.trainer, []
        if trainer.max_epochs not in (None, -1):
            limits.append(trainer.max_epochs)
        if trainer.max_steps != -1 and self._sampler is not None:
            limits.append(ceil(trainer.max_steps * trainer.accumulate_grad_batches / len(self._sampler)))
        return min(limits, default=None)

    def _plan(self) -> dict[str, Any]:
        """What the batches of an epoch follow from, by what a message calls it."""
        assert self._sampler is not None
        pools = {name: pool.settings for name, pool in self._sampler.pools.items()}
        schedule = {name: value for name, value in vars(self._sampler.schedule).items() if name[0] != "_"}
        return {
            "data.seed": self.seed,
            "data.schedule": f"{type(self._sampler.schedule).__name__} {schedule}",
            "data.max_tokens": self._sampler.max_tokens,
            "data.drop_last": self._sampler.drop_last,
            **({"data.episodes": str(pools)} if pools else {}),
            LENT: {name: passes.lent for name, passes in self._sampler.passes.items() if isinstance(passes, Passes)},
            "the number of training examples": self.sizes,
            JOINED: dict(self._sampler.global_batch_sizes),
            NUMBER: dict(self._sampler.num_batches),
        }

    def _restore_moment(self, saved: Mapping[str, Any], epoch: int) -> None:
        if saved["epoch"] == epoch:
            scores = {name: [Score(*score) for score in found] for name, found in saved["scores"].items()}
            self._moment = Moment(**{**saved, "scores": scores})
