"""Whether an epoch that is resumed in the middle is the one that was begun."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtl_lightning.data.position import Position
from mtl_lightning.data.stretches import Stretch
from mtl_lightning.errors import UserError

LENT = "the number of examples that the last batch takes of the one before"
JOINED = "data.batch_size times the number of processes"
NUMBER = "the number of batches"
_CUT = (LENT, JOINED, NUMBER)
"""What depends on how many processes there are."""


def refuse_other_data(
    saved: Mapping[str, Any], plan: Mapping[str, Any], start: Position, stretches: Sequence[Stretch], now: Stretch
) -> None:
    """Refuses to resume in mid-epoch what is not the same epoch.

    Args:
        saved: What the batches followed from, by what a message calls it.
        plan: The same of now.
        start: Where the run stands.
        stretches: How the epoch was cut; nothing where the checkpoint does not say it.
        now: How it would be cut.

    Raises:
        UserError: If something differs that does not follow from another cut.
    """
    may_differ = _follows(stretches, now)
    for name, here in plan.items():
        then = saved[name] if name in saved else _unsaved(here)
        if then != here and name not in may_differ:
            raise UserError(
                f"the checkpoint was saved in the middle of epoch {start.epoch}, after {start.batch} batches, and "
                f"{name} was {then}; it is {here} now: set it back, or go on from a checkpoint of an epoch's end"
            )


def refuse_damaged(stretches: Sequence[Stretch], batch: int, now: Stretch, num_steps: Callable[[Stretch], int]) -> None:
    """Refuses stretches that nobody has trained on these data.

    Args:
        stretches: How an epoch was cut.
        batch: Number of the next step of the last one.
        now: How it would be cut.
        num_steps: Of an epoch that is cut like a stretch.

    Raises:
        UserError: If there can be no such stretches.
    """
    *earlier, last = stretches
    if last.stop is None and all(_can_be(each, now, num_steps) for each in [*earlier, last._replace(stop=batch)]):
        return
    raise UserError("the checkpoint was saved in an epoch that these data cannot have; is it damaged?")


def _can_be(stretch: Stretch, now: Stretch, num_steps: Callable[[Stretch], int]) -> bool:
    return (
        stretch.batch_sizes.keys() == now.batch_sizes.keys()
        and min(stretch.num_replicas, *stretch.batch_sizes.values()) > 0
        and stretch.stop is not None
        and 0 <= stretch.start <= stretch.stop <= num_steps(stretch)
    )


def _follows(stretches: Sequence[Stretch], now: Stretch) -> tuple[str, ...]:
    """What may differ: how many examples are lent depends on the processes even where they have kept the batches."""
    if not stretches:
        return ()
    return (LENT,) if stretches[-1].is_cut_like(now) else _CUT


def of(stretch: Stretch) -> str:
    """How batches are cut, for messages."""
    sizes = sorted(set(stretch.batch_sizes.values()))
    number = stretch.num_replicas
    return f"{' or '.join(map(str, sizes))} examples a batch on {number} process{'es' if number > 1 else ''}"


def _unsaved(now: Any) -> Any:
    """What was the case in version 0.1, whose checkpoints do not say it."""
    return dict.fromkeys(now, 0) if isinstance(now, dict) else False
