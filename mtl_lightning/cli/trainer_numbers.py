"""Numbers that Lightning's Trainer takes without a look, and then divides by."""

from collections.abc import Mapping
from typing import Any

from mtl_lightning.errors import UserError

_AT_LEAST_1 = ("accumulate_grad_batches", "check_val_every_n_epoch", "num_nodes")


def check_numbers(arguments: Mapping[str, Any]) -> None:
    """Refuses numbers of steps, epochs and nodes that nothing can be done with.

    Args:
        arguments: Of the Trainer.

    Raises:
        UserError: Of the first.
    """
    for name in _AT_LEAST_1:
        if isinstance(number := arguments[name], int) and number < 1:
            raise UserError(f"trainer.{name} must be at least 1, found {number}")
    interval = arguments["val_check_interval"]
    if isinstance(interval, int | float) and interval <= 0:
        raise UserError(f"trainer.val_check_interval must be above 0, found {interval}; see trainer.limit_val_batches")
