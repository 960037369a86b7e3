"""When a checkpoint is due by the clock."""

import time
from math import isfinite

from mtl_lightning.backward.processes import Agreement, is_first
from mtl_lightning.errors import UserError


class SaveClock:
    """Says on all processes after the same step that so many minutes have passed, by the clock of the first one.

    Args:
        minutes: Between two checkpoints; null: never.

    Raises:
        UserError: If that is not a positive number.
    """

    def __init__(self, minutes: float | None) -> None:
        if minutes is not None and not (isfinite(minutes) and minutes > 0):
            raise UserError(f"`every_n_minutes` must be a positive number, found {minutes}")
        self.minutes = minutes
        self._agreement: Agreement | None = None
        self._asked = False
        self.restart()

    def start(self) -> None:
        """Begins to count, once all processes are there."""
        if self.minutes is not None:
            self._agreement = Agreement()
        self.restart()

    def restart(self) -> None:
        """Takes note that a checkpoint was written."""
        self._since = time.monotonic()
        self._asked = False

    def is_due(self) -> bool:
        """Whether to save now; all processes must ask after each step."""
        if self.minutes is None or self._agreement is None:
            return False
        wish = not self._asked and is_first() and time.monotonic() - self._since >= 60 * self.minutes
        self._asked |= wish
        return bool(self._agreement.exchange(int(wish)))
