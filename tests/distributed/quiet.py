"""How every script of these tests begins."""

import logging
import warnings
from os import environ


def begin() -> tuple[int, int]:
    """Silences Lightning; returns the number of processes and this one's rank."""
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance.*LeafSpec", category=FutureWarning)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return int(environ["WORLD_SIZE"]), int(environ["RANK"])
