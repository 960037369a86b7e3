"""What the options of adapters may be."""

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.arguments import at_least


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
