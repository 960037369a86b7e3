"""Whether an epoch that is resumed in the middle is the one that was begun."""

from collections.abc import Mapping, Sequence
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
    saved: Mapping[str, Any], plan: Mapping[str, Any], start: Position, stretches: Sequence[Stretch]
) -> None:
    """Refuses to resume in mid-epoch what is not the same epoch.

    Args:
        saved: What the batches followed from, by what a message calls it.
        plan: The same of now.
        start: Where the run stands.
        stretches: How the epoch was cut; nothing where the checkpoint does not say it.

    Raises:
        UserError: If something else than the cut differs.
    """
    if any(min(each.num_replicas, *each.batch_sizes.values(), each.start + 1) < 1 for each in stretches):
        raise UserError("the checkpoint was saved by no processes, or with batches of no examples; is it damaged?")
    for name, now in plan.items():
        then = saved[name] if name in saved else _unsaved(now)
        if then != now and not (stretches and name in _CUT):
            raise UserError(
                f"the checkpoint was saved in the middle of epoch {start.epoch}, after {start.batch} batches, and "
                f"{name} was {then}; it is {now} now: set it back, or go on from a checkpoint of an epoch's end"
            )


def of(stretch: Stretch) -> str:
    """How batches are cut, for messages."""
    sizes = sorted(set(stretch.batch_sizes.values()))
    number = stretch.num_replicas
    return f"{' or '.join(map(str, sizes))} examples a batch on {number} process{'es' if number > 1 else ''}"


def _unsaved(now: Any) -> Any:
    """What was the case in version 0.1, whose checkpoints do not say it."""
    return dict.fromkeys(now, 0) if isinstance(now, dict) else False
