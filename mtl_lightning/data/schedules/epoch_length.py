"""How long an epoch is: one rule for all schedules."""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Literal

from mtl_lightning.errors import UserError

EpochLength = Literal["longest", "shortest", "sum"] | int
"""When an epoch ends.

- ``longest``: when every data set has been seen once; others have started over by then.
- ``shortest``: when the first data set has been seen once.
- ``sum``: after as many batches as all data sets have together.
- A number: after so many steps.
"""

SumOrSteps = Literal["sum"] | int
"""The same for a schedule whose shares change over the run, for its epochs would change with them."""

_RULES = ("longest", "shortest", "sum")


def checked(epoch_length: EpochLength, rules: tuple[str, ...] = _RULES) -> EpochLength:
    """An epoch length that can be meant.

    Raises:
        UserError: If it is none of the rules, nor a number of steps of at least 1.
    """
    if epoch_length in rules or (isinstance(epoch_length, int) and epoch_length >= 1):
        return epoch_length
    choices = ", ".join(map(repr, rules))
    raise UserError(
        f"data.schedule.epoch_length must be {choices} or a number of steps of at least 1, found {epoch_length!r}"
    )


def steps_of_epoch(
    epoch_length: EpochLength, num_batches: Mapping[str, int], shares: Mapping[str, Fraction], batches_per_step: int
) -> int:
    """Number of steps of an epoch. A data set without a share is not waited for.

    Args:
        epoch_length: The rule.
        num_batches: Number of batches in one pass over each data set.
        shares: Share of each data set in what is drawn; they sum to 1. ``sum`` and a number do without.
        batches_per_step: Number of batches that a step draws.

    >>> half = {"a": Fraction(1, 2), "b": Fraction(1, 2)}
    >>> [steps_of_epoch(length, {"a": 6, "b": 2}, half, 1) for length in ("longest", "shortest", "sum", 5)]
    [12, 4, 8, 5]
    """
    if isinstance(epoch_length, int):
        return epoch_length
    if epoch_length == "sum":
        return ceil(Fraction(sum(num_batches.values()), batches_per_step))
    once = [ceil(number / (shares[name] * batches_per_step)) for name, number in num_batches.items() if shares[name]]
    return max(once) if epoch_length == "longest" else min(once)
