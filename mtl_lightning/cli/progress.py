"""Whether a progress bar makes sense."""

import sys
from typing import Any

from lightning.pytorch.callbacks import ProgressBar


def no_bar_can_be_seen(trainer: Any) -> bool:
    """Whether nobody asked for a progress bar, or for none, and standard output is no terminal.

    Args:
        trainer: Settings of the trainer.
    """
    callbacks = trainer["callbacks"] or []
    chosen = any(isinstance(c, ProgressBar) for c in (callbacks if isinstance(callbacks, list) else [callbacks]))
    return trainer["enable_progress_bar"] is None and not chosen and not sys.stdout.isatty()
