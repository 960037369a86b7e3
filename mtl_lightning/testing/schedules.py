"""The contract of schedules."""

import random
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from mtl_lightning.data.schedules import Moment, Schedule, Score, checked_steps
from mtl_lightning.errors import UserError
from mtl_lightning.testing.common import pickled

_NUM_BATCHES = {"a": 1, "b": 7, "c": 40}
_NUM_EPOCHS = 4


def check_schedule(schedule: Schedule, num_batches: Mapping[str, int] | None = None) -> None:
    """Checks that a schedule fills its epochs and is a pure function of its arguments.

    Args:
        schedule: The schedule.
        num_batches: Number of batches in one pass over each data set, by name; null: of three data sets, named a to c.
            Each is said to label a task of its own name.

    Raises:
        AssertionError: If a rule is broken.

    >>> from mtl_lightning.data import RoundRobin
    >>> check_schedule(RoundRobin())
    """
    num_batches = num_batches or _NUM_BATCHES
    schedule.check({name: [name] for name in num_batches})
    length = schedule.num_steps(num_batches)
    assert isinstance(length, int) and length > 0, f"num_steps() must be an int of at least 1, found {length!r}"
    moments = [Moment(seed, epoch, _NUM_EPOCHS) for seed in (0, 1) for epoch in range(_NUM_EPOCHS)]
    moments.append(moments[-1]._replace(scores={name: [Score(name, 0.5, 0.6)] for name in num_batches}))
    states = _random_states()
    epochs = [_epoch(schedule, num_batches, moment) for moment in moments]
    assert _random_states() == states, "a schedule must not draw global random numbers"
    copy = pickled(schedule)
    for moment, epoch in reversed(list(zip(moments, epochs, strict=True))):
        for other in (schedule, copy):
            again = _epoch(other, num_batches, moment)
            assert again == epoch, f"epoch {moment.epoch} must always be the same, found {epoch} and then {again}"
    assert schedule.num_steps(num_batches) == length, "num_steps() must always be the same"


def _epoch(schedule: Schedule, num_batches: Mapping[str, int], moment: Moment) -> Sequence[tuple[str, ...]]:
    try:
        return list(checked_steps(schedule, num_batches, moment))
    except UserError as error:
        raise AssertionError(str(error)) from error


def _random_states() -> list[str]:
    return [str(random.getstate()), str(np.random.get_state()), str(torch.get_rng_state().tolist())]
