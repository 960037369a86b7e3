"""What a schedule may look at besides the sizes of the data sets."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

HISTORY = 50
"""How many validations a score remembers."""


class Score(NamedTuple):
    """The main metric of a task on the validation split.

    Attributes:
        task: Name of the task.
        latest: At the latest validation.
        best: The best one so far.
        higher_is_better: Whether a higher value is better.
        history: At the latest validations, oldest first, up to :data:`HISTORY` of them, the latest among them.
    """

    task: str
    latest: float
    best: float
    higher_is_better: bool = True
    history: Sequence[float] = ()


class Moment(NamedTuple):
    """Where the run stands when an epoch is planned; the same on every process.

    Attributes:
        seed: Of the data module.
        epoch: Number of the epoch, from 0.
        num_epochs: Number of epochs that the run will have; null: not known.
        scores: Validation scores at the start of the epoch of the tasks that each data set labels, by data set; empty
            before the first validation.
    """

    seed: int
    epoch: int
    num_epochs: int | None = None
    scores: Mapping[str, Sequence[Score]] = {}
