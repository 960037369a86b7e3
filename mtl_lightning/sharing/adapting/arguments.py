"""What the options of adapters may be."""

from collections.abc import Sequence

from torch import nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.contracts import Encoder


def check_low_rank(dropout: float = 0.0, **sizes: int) -> None:
    """Refuses sizes below 1, and a dropout that is no probability below 1.

    Args:
        dropout: The option of that name.
        sizes: Other options, by name.

    Raises:
        UserError: Of the first that is wrong.
    """
    for name, size in sizes.items():
        at_least(1, name, size)
    if not 0 <= dropout < 1:
        raise UserError(f"model.sharing: `dropout` must be at least 0 and below 1, found {dropout}")


def last_stages(encoder: Encoder, number: int) -> Sequence[nn.Module]:
    """The last stages of an encoder.

    Args:
        encoder: Which one.
        number: How many.

    Raises:
        UserError: If it has not so many.
    """
    stages = encoder.stages
    if not 1 <= number <= len(stages):
        raise UserError(f"model.sharing: `own_stages` must be from 1 to {len(stages)}, found {number}")
    return stages[-number:]
