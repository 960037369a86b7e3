"""What the options of adapters may be."""

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.arguments import above_zero, at_least


def check_low_rank(alpha: float, dropout: float, **sizes: int) -> None:
    """Refuses sizes below 1, an alpha that is not above 0, and a dropout that is no probability below 1.

    Args:
        alpha: The option of that name.
        dropout: The option of that name.
        sizes: Other options, by name.

    Raises:
        UserError: Of the first that is wrong.
    """
    for name, size in sizes.items():
        at_least(1, name, size)
    above_zero("alpha", alpha)
    if not 0 <= dropout < 1:
        raise UserError(f"model.sharing: `dropout` must be at least 0 and below 1, found {dropout}")
