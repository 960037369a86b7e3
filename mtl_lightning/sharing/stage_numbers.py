"""Which stages of an encoder an option names."""

from collections.abc import Sequence

from mtl_lightning.errors import UserError, shown
from mtl_lightning.sharing.contracts import Encoder


def stage_numbers(option: str, numbers: Sequence[int] | None, encoder: Encoder) -> tuple[int, ...]:
    """The stages that an option names, from 1 and in order.

    Args:
        option: Its name, for messages.
        numbers: From 1 to n, of an encoder of n stages, or counted from the end, from -1 to -n; null: all.
        encoder: The model's.

    Raises:
        UserError: If there is no such stage, or none is named, or one twice, or the encoder cannot be cut.
    """
    number = len(encoder.stages)
    if numbers is None:
        return tuple(range(1, number + 1))
    found = sorted({each + number + 1 if each < 0 else each for each in numbers})
    if not found or len(found) < len(numbers) or found[0] < 1 or found[-1] > number:
        raise UserError(
            f"model.sharing: `{option}` must name some of the stages 1 to {number} of {type(encoder).__name__}, each "
            f"once, found {shown(list(numbers))}"
        )
    return tuple(found)
