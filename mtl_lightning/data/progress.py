"""Where a run stands in its data, as a checkpoint keeps it."""

from collections.abc import Collection, Mapping
from math import ceil
from typing import Any

from mtl_lightning.data.passes import Passes
from mtl_lightning.data.position import Position, position
from mtl_lightning.data.sampler import StepSampler
from mtl_lightning.data.schedules import Moment, Score
from mtl_lightning.data.scores import Scores
from mtl_lightning.errors import UserError


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

        Raises:
            UserError: If that is in the middle of an epoch whose batches would be others than before.
        """
        self._sampler = sampler
        sampler.start = start = Position(*self._saved.get("position", (0, 0)))
        sampler.epoch = start.epoch  # Lightning sets it only once the workers have begun
        for name, state in self._saved.get("streams", {}).items():
            if name in sampler.streams:
                sampler.streams[name].restore(start.epoch, state)
        if start.batch and "plan" in self._saved:
            self._check(self._saved["plan"], start)
            self._restore_moment(self._saved["moment"], start.epoch)

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
        schedule = {name: value for name, value in vars(self._sampler.schedule).items() if name[0] != "_"}
        return {
            "data.seed": self.seed,
            "data.schedule": f"{type(self._sampler.schedule).__name__} {schedule}",
            "data.max_tokens": self._sampler.max_tokens,
            "data.drop_last": self._sampler.drop_last,
            "the number of examples that the last batch takes of the one before": {
                name: passes.lent for name, passes in self._sampler.passes.items() if isinstance(passes, Passes)
            },
            "the number of training examples": self.sizes,
            "data.batch_size times the number of processes": dict(self._sampler.global_batch_sizes),
            "the number of batches": dict(self._sampler.num_batches),
        }

    def _check(self, saved: Mapping[str, Any], start: Position) -> None:
        for name, now in self._plan().items():
            then = saved[name] if name in saved else _unsaved(now)
            if then != now:
                raise UserError(
                    f"the checkpoint was saved in the middle of epoch {start.epoch}, after {start.batch} batches, and "
                    f"{name} was {then}; it is {now} now: set it back, or go on from a checkpoint of an epoch's "
                    "end"
                )

    def _restore_moment(self, saved: Mapping[str, Any], epoch: int) -> None:
        if saved["epoch"] == epoch:
            scores = {name: [Score(*score) for score in found] for name, found in saved["scores"].items()}
            self._moment = Moment(**{**saved, "scores": scores})


def _unsaved(now: Any) -> Any:
    """What was the case in version 0.1, whose checkpoints do not say it."""
    return dict.fromkeys(now, 0) if isinstance(now, dict) else False
