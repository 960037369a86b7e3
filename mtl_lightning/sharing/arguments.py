"""Checks of the arguments that several sharings take."""

from mtl_lightning.errors import UserError


def at_least(least: float, argument: str, value: float) -> None:
    """Refuses a number below ``least``, or one that is not finite.

    Raises:
        UserError: Of such a number.
    """
    if not least <= value < float("inf"):
        raise UserError(f"model.sharing: `{argument}` must be at least {least}, found {value}")


def above_zero(argument: str, value: float) -> None:
    """Refuses a number that is not above 0, or not finite.

    Raises:
        UserError: Of such a number.
    """
    if not 0 < value < float("inf"):
        raise UserError(f"model.sharing: `{argument}` must be a finite number above 0, found {value}")
